// Caches streams that commands read. Every vote reads its poll, so polls are cached. The version
// guards an acceptance that was decided on a cached stream; nothing guards a refusal (or "nothing
// to do"), so that is decided again on a fresh read.
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

  /** Whether a read would be served from memory. */
  has(stream: string): boolean {
    return this.#kept.has(stream);
  }

  invalidate(stream: string): void {
    this.#kept.delete(stream);
  }
}
