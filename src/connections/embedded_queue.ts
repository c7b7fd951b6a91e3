// Shares the one session of the embedded database among many connections. A connection owns it from
// its first message until it is idle again; the queue of pglite-socket releases it between two
// messages of one query, and two connections then take each other's unnamed portals.
import type { PGlite } from "@electric-sql/pglite";

type Work = {
  connection: number;
  message: Uint8Array;
  onData: (data: Uint8Array) => void;
  resolve: (bytes: number) => void;
  reject: (error: unknown) => void;
};

const QUERY = "Q".charCodeAt(0);
const SYNC = "S".charCodeAt(0);
const SYNC_MESSAGE = Uint8Array.of(SYNC, 0, 0, 0, 4);
const ROLLBACK_MESSAGE = Uint8Array.of(
  QUERY,
  ...[0, 0, 0, 13],
  ...new TextEncoder().encode("ROLLBACK\0"),
);

/** Its method names are those that a handler of pglite-socket calls. */
export class Session {
  readonly #db: PGlite;
  #queue: Work[] = [];
  #owner: number | undefined;
  #running = false;

  constructor(db: PGlite) {
    this.#db = db;
  }

  enqueue(
    connection: number,
    message: Uint8Array,
    onData: (data: Uint8Array) => void,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ connection, message, onData, resolve, reject });
      void this.#run();
    });
  }

  getQueueLength(): number {
    return this.#queue.length;
  }

  clearQueueForHandler(connection: number): void {
    const gone = this.#queue.filter((work) => work.connection === connection);
    this.#queue = this.#queue.filter((work) => work.connection !== connection);
    for (const work of gone) work.reject(new Error("the connection was closed"));
  }

  /** Rolls back what a closed connection left unfinished, and frees the session. */
  async clearTransactionIfNeeded(connection: number): Promise<void> {
    if (this.#owner !== connection) return;
    await this.enqueue(connection, SYNC_MESSAGE, () => {});
    if (this.#owner === connection) await this.enqueue(connection, ROLLBACK_MESSAGE, () => {});
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let work = this.#next(); work; work = this.#next()) await this.#answer(work);
    this.#running = false;
  }

  #next(): Work | undefined {
    if (this.#owner === undefined) return this.#queue.shift();
    const at = this.#queue.findIndex((work) => work.connection === this.#owner);
    return at < 0 ? undefined : this.#queue.splice(at, 1)[0];
  }

  async #answer({ connection, message, onData, resolve, reject }: Work): Promise<void> {
    this.#owner = connection;
    let bytes = 0;
    const onRawData = (data: Uint8Array) => {
      bytes += data.length;
      onData(data);
    };
    try {
      await this.#db.runExclusive(() => this.#db.execProtocolRawStream(message, { onRawData }));
      if (this.#isIdleAfter(message)) this.#owner = undefined;
      resolve(bytes);
    } catch (error) {
      this.#owner = undefined;
      reject(error);
    }
  }

  /** A start-up message has no type: its first byte is that of its length. */
  #isIdleAfter([type]: Uint8Array): boolean {
    const ends = type === QUERY || type === SYNC || type === 0;
    return ends && !this.#db.isInTransaction();
  }
}
