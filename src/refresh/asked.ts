// Tells the holder, wherever it is, which copies readers missed. Through the database's NOTIFY, so
// that it works without Redis too; many at once in one, and the same one not again at once.
import type { Sql } from "../database.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";
import { type Copy, parseCopy } from "./copies.ts";

const CHANNEL = "tallybook_asked";
const GATHER_MS = 2;
const AGAIN_MS = 50;
// A notification holds less than 8000 bytes; what does not fit is asked for again soon.
const MOST = 100;

export type AskedOptions = {
  sql: Sql;
  embedded: boolean;
  /** Whether this process is the holder, which need not be told by anybody else. */
  isHolder: () => boolean;
  want: (copies: Copy[]) => void;
};

export class Asked implements AsyncDisposable {
  readonly #options: AskedOptions;
  readonly #noted = new Map<Copy, number>();
  #gathered = new Set<Copy>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unlisten: (() => Promise<void>) | undefined;

  constructor(options: AskedOptions) {
    this.#options = options;
  }

  async listen(): Promise<void> {
    const { sql, embedded, want } = this.#options;
    if (embedded) return;
    const { unlisten } = await sql.listen(CHANNEL, (text) => {
      want(text.split("\n").flatMap((line) => parseCopy(line) ?? []));
    });
    this.#unlisten = unlisten;
  }

  note(copy: Copy): void {
    if (this.#options.isHolder()) return this.#options.want([copy]);
    const now = performance.now();
    if (now - (this.#noted.get(copy) ?? -AGAIN_MS) < AGAIN_MS) return;
    if (this.#noted.size > 1000) this.#noted.clear();
    this.#noted.set(copy, now);
    if (this.#gathered.size < MOST) this.#gathered.add(copy);
    this.#timer ??= setTimeout(() => this.#tell(), GATHER_MS);
  }

  async #tell(): Promise<void> {
    this.#timer = undefined;
    const text = [...this.#gathered].join("\n");
    this.#gathered = new Set();
    try {
      await this.#options.sql`select pg_notify(${CHANNEL}, ${text})`;
    } catch (error) {
      log.debug("asked", { error: reason(error) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    await this.#unlisten?.();
  }
}
