// Hits and misses of the caches over the last minutes, of all replicas together: each adds its
// counts to slots in Redis; without Redis it keeps its own.
import type { CacheCounts, ReadThroughCache } from "./read_through.ts";
import type { RedisClient } from "../connections/redis.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";

export type Slot = { hits: number; misses: number };
/** By kind of cached value, oldest slot first. */
export type CacheHistory = Map<string, Slot[]>;

const SLOT_MS = 10_000;
const SLOTS = 60;
const NOTE_MS = 2000;
const PREFIX = "tallybook:history:";

export class HitHistory implements Disposable {
  readonly #cache: ReadThroughCache;
  readonly #link: RedisClient | undefined;
  readonly #own = new Map<number, Map<string, number>>();
  #last = new Map<string, CacheCounts>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(cache: ReadThroughCache, link?: RedisClient) {
    this.#cache = cache;
    this.#link = link;
    this.#timer = setInterval(() => this.note(), NOTE_MS);
  }

  /** Adds the counts since the last call. */
  async note(now = Date.now()): Promise<void> {
    const slot = Math.floor(now / SLOT_MS);
    const added = this.#added();
    if (added.length === 0) return;
    if (!this.#link) return this.#keep(slot, added);
    try {
      await this.#link.run((redis) => {
        const key = PREFIX + slot;
        const pipeline = redis.pipeline();
        for (const [field, by] of added) pipeline.hincrby(key, field, by);
        pipeline.expire(key, SLOTS * SLOT_MS / 1000 + 60);
        return pipeline.exec();
      });
    } catch (error) {
      log.debug("cache.history_failed", { error: reason(error) });
    }
  }

  async read(now = Date.now()): Promise<CacheHistory> {
    const newest = Math.floor(now / SLOT_MS);
    const slots = Array.from({ length: SLOTS }, (_, i) => newest - SLOTS + 1 + i);
    const found = await this.#slots(slots);
    const kinds = new Set(
      found.flatMap((fields) => [...fields.keys()].map((f) => f.split(" ")[0] ?? f)),
    );
    return new Map([...kinds].map((kind) => [
      kind,
      found.map((fields) => ({
        hits: fields.get(`${kind} hits`) ?? 0,
        misses: fields.get(`${kind} misses`) ?? 0,
      })),
    ]));
  }

  async #slots(slots: number[]): Promise<Map<string, number>[]> {
    if (!this.#link) return slots.map((slot) => this.#own.get(slot) ?? new Map());
    try {
      const stored = await this.#link.run((redis) =>
        Promise.all(slots.map((slot) => redis.hgetall(PREFIX + slot)))
      );
      return stored.map((fields) =>
        new Map(Object.entries(fields).map(([field, value]) => [field, Number(value)]))
      );
    } catch (error) {
      log.debug("cache.history_failed", { error: reason(error) });
      return slots.map(() => new Map());
    }
  }

  #added(): [string, number][] {
    const counts = this.#cache.counts;
    const added = counts.flatMap(({ kind, hits, misses }): [string, number][] => [
      [`${kind} hits`, hits - (this.#last.get(kind)?.hits ?? 0)],
      [`${kind} misses`, misses - (this.#last.get(kind)?.misses ?? 0)],
    ]).filter(([, by]) => by > 0);
    this.#last = new Map(counts.map((one) => [one.kind, { ...one }]));
    return added;
  }

  #keep(slot: number, added: [string, number][]): void {
    const fields = this.#own.get(slot) ?? new Map<string, number>();
    for (const [field, by] of added) fields.set(field, (fields.get(field) ?? 0) + by);
    this.#own.set(slot, fields);
    for (const old of this.#own.keys()) if (old <= slot - SLOTS) this.#own.delete(old);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
