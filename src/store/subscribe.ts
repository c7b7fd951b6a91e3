// Live reading from any position: never misses, repeats or reorders, because positions are dense
// and in commit order. A wake-up only triggers a read; polling covers a missed one.
import type { Recorded } from "$events/mod.ts";
import { isConnectionError, type Sql } from "../connections/postgres.ts";
import { type Page, type Readable, readReadable } from "./read.ts";

export type SubscribeOptions = Page & {
  signal?: AbortSignal;
  pollMs?: number;
};

/** Signals that the log grew: in this process by the appender, elsewhere by the database's NOTIFY. */
export class AppendSignal implements AsyncDisposable {
  readonly #waiting = new Set<() => void>();
  #unlisten: (() => Promise<void>) | undefined;
  #lastNotified = 0;

  /** The last position named by a notification. */
  get lastNotified(): number {
    return this.#lastNotified;
  }

  wake = (): void => {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  };

  /**
   * Ignores notifications of this process' own appends, which its appender signals itself. They
   * often come before COMMIT is answered, and a woken reader would read those events from the log
   * once more.
   */
  async listen(sql: Sql, isOwn = (_position: number) => false): Promise<void> {
    const onNotify = (position: string) => {
      this.#lastNotified = Math.max(this.#lastNotified, Number(position));
      if (!isOwn(Number(position))) this.wake();
    };
    const { unlisten } = await sql.listen("tallybook", onNotify, this.wake);
    this.#unlisten = unlisten;
  }

  /** Resolves at the next wake-up, after `ms`, or when the signal aborts. */
  next(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#waiting.add(done);
      signal?.addEventListener("abort", done);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.wake();
    await this.#unlisten?.();
  }
}

/** Pages of events after a position, without end; waits while the database is away. */
export async function* subscribe(
  sql: Sql,
  wakeups: AppendSignal,
  options: SubscribeOptions = {},
): AsyncGenerator<Recorded[]> {
  const { signal, pollMs = 1000, ...page } = options;
  let after = page.after ?? 0;
  while (!signal?.aborted) {
    // Requested before the read: an append in between wakes the next wait at once.
    const waited = new AbortController();
    const either = signal ? AbortSignal.any([signal, waited.signal]) : waited.signal;
    const woken = wakeups.next(pollMs, either);
    const { events, last } = await orNothing(() => readReadable(sql, { ...page, after }));
    if (last === undefined) {
      await woken;
      continue;
    }
    waited.abort();
    after = last;
    if (events.length > 0) yield events;
  }
}

async function orNothing(read: () => Promise<Readable>): Promise<Readable> {
  try {
    return await read();
  } catch (error) {
    if (isConnectionError(error)) return { events: [], last: undefined, passedOver: false };
    throw error;
  }
}
