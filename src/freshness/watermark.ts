// The position up to which no cache holds anything older, and the requests that wait for it.
import { setCoarseTimeout } from "../async/deadline.ts";
import { SlotSet } from "../async/slot_set.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";

const READ_MS = 100;

type Waiter = { position: number; done: (reached: boolean) => void };

export class Watermark {
  /** Reads the position that the leader has saved, because its notification may be missed. */
  readonly #read: () => Promise<number>;
  #position = 0;
  readonly #waiters = new SlotSet<Waiter>();
  #reading: ReturnType<typeof setInterval> | undefined;
  #isReading = false;

  constructor(read: () => Promise<number>) {
    this.#read = read;
  }

  get position(): number {
    return this.#position;
  }

  advance(position: number): void {
    if (position <= this.#position) return;
    this.#position = position;
    for (const waiter of this.#waiters) if (waiter.position <= position) waiter.done(true);
  }

  /** False if it takes longer. */
  waitFor(position: number, ms: number): Promise<boolean> {
    if (position <= this.#position) return Promise.resolve(true);
    if (ms <= 0) return Promise.resolve(false);
    this.#reading ??= setInterval(() => this.#readSaved(), READ_MS);
    return new Promise((resolve) => {
      const done = (reached: boolean) => {
        cancel();
        leave();
        resolve(reached);
      };
      const cancel = setCoarseTimeout(ms, () => done(false));
      const leave = this.#waiters.add({ position, done });
    });
  }

  /** Runs only while a request waits. */
  async #readSaved(): Promise<void> {
    if (this.#waiters.size === 0) return this.#stopReading();
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      this.advance(await this.#read());
    } catch (error) {
      log.debug("freshness.watermark_unread", { error: reason(error) });
    } finally {
      this.#isReading = false;
    }
  }

  #stopReading(): void {
    clearInterval(this.#reading);
    this.#reading = undefined;
  }

  /** Ends every wait with false. */
  close(): void {
    for (const waiter of this.#waiters) waiter.done(false);
    this.#stopReading();
  }
}
