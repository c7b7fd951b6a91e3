// Counts views in Redis (in memory without it) and writes them to the log every few seconds. Counts
// to be written are set aside under a name first, and that name is the append's idempotency key: a
// crash between the two counts nothing twice and loses nothing.
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { isUnanswered, type RedisClient } from "../connections/redis.ts";
import { countVisits } from "../commands/visits.ts";
import { reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import type { Job } from "../leader/leader.ts";
import { log } from "../log.ts";
import type { HighWaterMarks } from "./high_water_marks.ts";
import type { Appender } from "../store/appender.ts";

const PENDING = "tallybook:visits";
const TAKEN = "tallybook:visits:taken";
const NAME = "tallybook:visits:name";
export const FLUSH_MS = 2000;
const WAIT_FOR_FLUSH_MS = 50;
const RECENT_MS = 1000;

// Sets aside the counts so far under a name, unless some are set aside already.
const TAKE = `
if redis.call('EXISTS', KEYS[2]) == 0 then
  if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('DEL', KEYS[3])
end
redis.call('SET', KEYS[3], ARGV[1], 'NX')
return {redis.call('GET', KEYS[3]), redis.call('HGETALL', KEYS[2])}`;

const FORGET = `
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[1], KEYS[2]) end
return 1`;

type Counts = Map<string, number>;
type Aside = { name: string; counts: Counts };

export class Visits implements AsyncDisposable {
  readonly #link: RedisClient | undefined;
  readonly #appender: Appender;
  /** Counted by this process while Redis was unavailable. */
  #counted: Counts = new Map();
  #aside: Aside[] = [];
  readonly #shown: HighWaterMarks;
  #flushing: Promise<void> = Promise.resolve();
  #busy = 0;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #recent = new Map<string, { total: Promise<number>; until: number }>();

  constructor(appender: Appender, { shown, link }: { shown: HighWaterMarks; link?: RedisClient }) {
    this.#appender = appender;
    this.#shown = shown;
    this.#link = link;
    this.#timer = setInterval(() => this.#inTurn(() => this.#flushOwn()), FLUSH_MS);
  }

  async count(page: string, by = 1): Promise<void> {
    if (!this.#link?.isAvailable) return add(this.#counted, page, by);
    try {
      await this.#link.run((redis) => redis.hincrby(PENDING, page, by));
    } catch (error) {
      // A command that only took too long may still reach Redis, and would be counted twice.
      if (!isUnanswered(error)) add(this.#counted, page, by);
    }
  }

  /**
   * Adds up the views in the log and those not in it yet, in this order: a view on its way between
   * the two is missing for a moment, never counted twice; meanwhile the highest total shown so far
   * stands. That total is shared, as another replica may have lost its Redis and know of neither.
   */
  async total(page: string, known: () => Promise<number>): Promise<number> {
    if (this.#busy > 0) await Promise.race([this.#flushing, delay(WAIT_FOR_FLUSH_MS)]);
    const [written, shown] = await Promise.all([known(), this.#shown.read(page)]);
    const pending = await this.#quietly((redis) => redis.hget(PENDING, page));
    const total = written + (this.#counted.get(page) ?? 0) + Number(pending ?? 0);
    const least = Math.max(written, shown);
    return total > least && await this.#shown.raise(page, total) ? total : least;
  }

  /** Records a total that is about to be answered, though it was not read here. */
  async showed(page: string, total: number): Promise<void> {
    await this.#shown.raise(page, total);
  }

  /** A total that was read less than a second ago, or is being read. */
  recent(page: string, read: () => Promise<number>): Promise<number> {
    const kept = this.#recent.get(page);
    if (kept && kept.until > performance.now()) return kept.total;
    const total = read();
    total.catch(() => this.#recent.delete(page));
    this.#recent.set(page, { total, until: performance.now() + RECENT_MS });
    return total;
  }

  /** Runs on the leader; each process writes the counts it keeps in memory itself. */
  job: Job = async ({ signal }) => {
    while (!signal.aborted) {
      await delay(FLUSH_MS, signal);
      await this.flush();
    }
  };

  async flush(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#flushOwn();
      await this.#flushRedis();
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#busy++;
    this.#flushing = this.#flushing.then(work).catch((error) => {
      log.warn("visits.not_saved", { error: reason(error) });
    }).finally(() => this.#busy--);
    return this.#flushing;
  }

  /**
   * Keeps counts under their name until they are written: an append with unknown outcome loses
   * nothing.
   */
  async #flushOwn(): Promise<void> {
    if (this.#counted.size > 0) {
      this.#aside.push({ name: randomUUID(), counts: this.#counted });
      this.#counted = new Map();
    }
    for (let next = this.#aside[0]; next; next = this.#aside[0]) {
      await this.#write(next);
      this.#aside.shift();
    }
  }

  async #flushRedis(): Promise<void> {
    const taken = await this.#quietly((redis) =>
      redis.eval(TAKE, 3, PENDING, TAKEN, NAME, randomUUID())
    );
    const [name, pairs] = Array.isArray(taken) ? taken : [];
    if (typeof name !== "string" || !Array.isArray(pairs)) return;
    const counts: Counts = new Map();
    for (let i = 0; i < pairs.length; i += 2) counts.set(String(pairs[i]), Number(pairs[i + 1]));
    await this.#write({ name, counts });
    await this.#quietly((redis) => redis.eval(FORGET, 2, TAKEN, NAME, name));
  }

  async #write({ name, counts }: Aside): Promise<void> {
    await this.#appender.append({
      ...countVisits(counts),
      meta: { actor: "system" },
      idempotency: { scope: "visits", key: name, fingerprint: name },
    });
  }

  /** Undefined where Redis did not answer. */
  async #quietly<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result | undefined> {
    if (!this.#link?.isAvailable) return undefined;
    try {
      return await this.#link.run(work);
    } catch (error) {
      log.debug("visits.redis_failed", { error: reason(error) });
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}

function add(counts: Counts, page: string, by: number): void {
  counts.set(page, (counts.get(page) ?? 0) + by);
}
