// Hits and misses by kind of cached value, over all replicas: each adds its new counts to a sum in
// Redis at intervals. Without Redis there is one process, or no cache at all.
import { reason } from "../errors.ts";
import { log } from "../log.ts";
import type { CacheCounts } from "./read_through.ts";
import type { RedisClient } from "../connections/redis.ts";

const SUMS = "tallybook:counts";
const ADD_MS = 1000;

export class HitTotals implements AsyncDisposable {
  readonly #own: () => CacheCounts[];
  readonly #link: RedisClient | undefined;
  readonly #added = new Map<string, { hits: number; misses: number }>();
  readonly #timer: ReturnType<typeof setInterval> | undefined;

  constructor(own: () => CacheCounts[], link: RedisClient | undefined) {
    this.#own = own;
    this.#link = link;
    if (link) this.#timer = setInterval(() => this.add(), ADD_MS);
  }

  /** Of all replicas while Redis answers; otherwise of this one. */
  async read(): Promise<CacheCounts[]> {
    if (!this.#link?.isAvailable) return this.#own();
    await this.add();
    try {
      return parseSums(await this.#link.run((redis) => redis.hgetall(SUMS)));
    } catch (error) {
      log.debug("cache.totals_failed", { error: reason(error) });
      return this.#own();
    }
  }

  async add(): Promise<void> {
    if (!this.#link?.isAvailable) return;
    // Recorded before sending: counts lost on the way are missing, rather than added twice.
    const steps = this.#own().flatMap(({ kind, hits, misses }) => {
      const before = this.#added.get(kind) ?? { hits: 0, misses: 0 };
      this.#added.set(kind, { hits, misses });
      return [[`${kind} hits`, hits - before.hits], [`${kind} misses`, misses - before.misses]];
    }) as [string, number][];
    try {
      await this.#link.run((redis) =>
        Promise.all(
          steps.filter(([, by]) => by > 0).map(([field, by]) => redis.hincrby(SUMS, field, by)),
        )
      );
    } catch (error) {
      log.debug("cache.totals_failed", { error: reason(error) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.add();
  }
}

function parseSums(fields: Record<string, string>): CacheCounts[] {
  const found = new Map<string, CacheCounts>();
  for (const [field, value] of Object.entries(fields)) {
    const [kind = "", what] = field.split(" ");
    const counts = found.get(kind) ?? { kind, hits: 0, misses: 0 };
    if (what === "hits") counts.hits = Number(value);
    if (what === "misses") counts.misses = Number(value);
    found.set(kind, counts);
  }
  return [...found.values()].sort((a, b) => a.kind < b.kind ? -1 : 1);
}
