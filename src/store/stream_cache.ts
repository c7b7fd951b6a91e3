// Streams as commands read them. A poll is read for every vote, so it is kept. A yes decided on a kept
// stream is guarded by its version; a no (or "nothing to do") is not, so it is decided again afresh.
import type { Recorded } from "$events/mod.ts";
import type { Sql } from "../connections/postgres.ts";
import { readStream } from "./read.ts";

const MAX_KEPT = 200;

export class StreamCache {
  readonly #sql: Sql;
  readonly #kept = new Map<string, Promise<Recorded[]>>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  read = (stream: string): Promise<Recorded[]> => {
    if (!stream.startsWith("poll-")) return readStream(this.#sql, stream);
    const kept = this.#kept.get(stream);
    if (kept) return kept;
    const events = readStream(this.#sql, stream);
    events.then((found) => found.length === 0 && this.#kept.delete(stream), () => {
      this.#kept.delete(stream);
    });
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.set(stream, events);
    return events;
  };

  /** Whether a read of it would be answered from memory. */
  has(stream: string): boolean {
    return this.#kept.has(stream);
  }

  invalidate(stream: string): void {
    this.#kept.delete(stream);
  }
}
