// Cached values in Redis. Four checks decide whether one is valid: that this service wrote it under
// this very key (a signature with a secret that Redis does not know), and, read in one round trip,
// the lease (held only while everything up to the head has been invalidated), its generation, and
// whether a tag of the value changed after the position it was computed at.
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import { reason } from "../errors.ts";
import { log } from "../log.ts";
import type { RedisClient } from "../connections/redis.ts";
import { DROP, PUT, RENEW } from "./redis_scripts.ts";
import { SignedAnswers } from "./signed_value.ts";
import {
  type CacheBackend,
  type CachedValue,
  type CacheResult,
  kindOf,
  type LoadLock,
  type Lookup,
} from "./backend.ts";

const PREFIX = "tallybook:";
const LEASE = `${PREFIX}lease`;
const NO_LEASE = "";
export const LEASE_MS = 500;
// Added to the lease: how far the clocks of two machines may drift apart within one lease.
const MARGIN_MS = 100;
const LOAD_LOCK_MS = 2000;
// Only writers wait for these commands; after a failure they wait longer, for the lease to end.
const PATIENCE_MS = 450;

type Links = { client: RedisClient; invalidationClient: RedisClient };

export class RedisCache implements CacheBackend {
  readonly #client: RedisClient;
  /** For invalidations and the lease: a late answer to a reader must disturb neither. */
  readonly #invalidationClient: RedisClient;
  readonly #ttlMs: number;
  readonly #signed: SignedAnswers;
  #generation: string = randomUUID();
  #clock: { redis: number; at: number } | undefined;
  #renewedAt = -LEASE_MS - MARGIN_MS;
  #lost = true;
  #renewing = false;
  #knownTrips = 0;
  /** The generation of the lease that Redis has accepted. */
  #leasedGeneration: string | undefined;

  constructor(links: Links, { ttlSeconds, secret }: { ttlSeconds: number; secret: string }) {
    this.#client = links.client;
    this.#invalidationClient = links.invalidationClient;
    this.#ttlMs = ttlSeconds * 1000;
    this.#signed = new SignedAnswers(secret);
  }

  async get({ key, tags }: Lookup): Promise<CacheResult> {
    // A Redis that has just restarted may have its lease back from disk, but not its newest tags.
    // The lease ends at a fixed time, so it is over after this wait.
    if (performance.now() - this.#client.lostAt < LEASE_MS + MARGIN_MS) {
      return { generation: NO_LEASE };
    }
    const keys = [LEASE, valueKey(key), ...tags.map(tagKey)];
    const found = await this.#quietly((redis) => redis.mget(keys));
    if (!found) return { generation: NO_LEASE };
    const [lease, value, ...positions] = found;
    const answer = this.#signed.read(key, value ?? "");
    if (!lease || answer?.generation !== lease) return { generation: lease ?? NO_LEASE };
    const overtaken = positions.some((position) => Number(position ?? 0) > answer.position);
    return overtaken ? { generation: lease } : { value: answer, generation: lease };
  }

  async put(
    { key, tags }: Lookup,
    { position, text }: CachedValue,
    generation: string,
  ): Promise<void> {
    if (generation === NO_LEASE) return;
    const value = this.#signed.write(key, { generation, position, text });
    const ms = Math.round(this.#ttlMs * (0.9 + Math.random() * 0.2));
    await this.#quietly(async (redis) => {
      const keys = [valueKey(key), ...tags.map(tagKey)];
      await redis.eval(PUT, keys.length, ...keys, position, value, ms);
      await redis.del(loadLockKey(key));
    });
  }

  /** Lock and lookup in one round trip, in this order; releases the lock if the lookup found a value. */
  async acquireLoadLock(lookup: Lookup, generation: string): Promise<LoadLock> {
    if (generation === NO_LEASE) return { acquired: true, result: { generation } };
    const lockKey = loadLockKey(lookup.key);
    const [taken, result] = await Promise.all([
      this.#quietly((redis) => redis.set(lockKey, "1", "PX", LOAD_LOCK_MS, "NX")),
      this.get(lookup),
    ]);
    if (taken === "OK" && result.value) await this.#quietly((redis) => redis.del(lockKey));
    return { acquired: taken !== null, result };
  }

  /**
   * Any process may call it: a tag's position only ever rises, so invalidations may overtake each
   * other.
   */
  async invalidate(tags: ReadonlySet<string>, position: number): Promise<void> {
    if (tags.size === 0) return;
    const keys = [...tags].map(tagKey);
    // Twice the longest life of a value, so that no value outlives the tag that invalidates it.
    const ms = this.#ttlMs * 2 + 60_000;
    await this.#invalidationClient.run(
      (redis) => redis.eval(DROP, keys.length, ...keys, position, ms),
      PATIENCE_MS,
    );
  }

  /**
   * While Redis is unreachable its lease runs out; once it has surely ended, the invalidation is as
   * good as done. The next lease has a new generation, so values from before stay invalid.
   */
  async endLease(): Promise<void> {
    this.#lose("an invalidation failed");
    await this.#leaseEnd();
  }

  /**
   * Without a lease no process uses stored values, and the next lease has a new generation. It is
   * set on this same connection, so no lease of the old generation can come after it.
   */
  async invalidateAll(): Promise<void> {
    const wasInUse = !this.#lost;
    this.#lose("everything was invalidated");
    if (wasInUse) {
      try {
        await this.#invalidationClient.run((redis) => redis.del(LEASE), PATIENCE_MS);
        this.#renewedAt = -LEASE_MS - MARGIN_MS;
      } catch (error) {
        log.debug("redis.command_failed", { error: reason(error) });
      }
    }
    await this.#leaseEnd();
  }

  takeOver(): void {
    this.#lose("a new leader");
    this.#renewedAt = performance.now();
  }

  /**
   * Renews the lease, or begins a new one once no earlier lease can be left. One request at a time:
   * while none is answered, the end of the lease does not move.
   */
  async renewLease(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      await this.#renewNow();
    } finally {
      this.#renewing = false;
    }
  }

  async #renewNow(): Promise<void> {
    const { breakerTrips } = this.#invalidationClient;
    const wasAway = breakerTrips !== this.#knownTrips;
    this.#knownTrips = breakerTrips;
    // Also where it was away between two renewals: it may have lost tags.
    if (wasAway || !this.#invalidationClient.isAvailable) return this.#lose("redis was away");
    if (this.#lost && this.#leaseLeft() > 0) return;
    const asked = performance.now();
    const clock = this.#clock;
    const generation = this.#generation;
    const isThere = this.#leasedGeneration === generation ? "1" : "0";
    const expiry = clock ? Math.floor(clock.redis + (asked - clock.at)) + LEASE_MS : 0;
    if (clock) this.#renewedAt = asked;
    try {
      const now = await this.#invalidationClient.run(
        (redis) => redis.eval(RENEW, 1, LEASE, generation, expiry, isThere),
        PATIENCE_MS,
      );
      if (Number(now) < 0) {
        // The lease is gone from Redis, so there is no need to wait for its end.
        this.#renewedAt = asked - LEASE_MS - MARGIN_MS;
        return this.#lose("redis was flushed");
      }
      if (this.#generation !== generation) return;
      // After the answer: what it took on the way can only make the next lease shorter.
      this.#clock = { redis: Number(now), at: performance.now() };
      this.#leasedGeneration = clock ? generation : undefined;
      this.#lost = false;
    } catch (error) {
      this.#lose(error);
    }
  }

  async purgeKinds(kinds: string[]): Promise<void> {
    await this.#quietly(async (redis) => {
      for (const kind of kinds) {
        for await (const keys of scan(redis, `v:${kind}:*`)) await redis.unlink(keys);
      }
    });
  }

  async clear(): Promise<void> {
    this.#generation = randomUUID();
    await this.#quietly(async (redis) => {
      await redis.del(LEASE);
      for await (const keys of scan(redis, "v:*")) await redis.unlink(keys);
    });
  }

  async keys(): Promise<{ kind: string; count: number }[]> {
    const counts = new Map<string, number>();
    await this.#quietly(async (redis) => {
      for await (const keys of scan(redis, "v:*")) {
        for (const key of keys) {
          const kind = kindOf(key.slice(valueKey("").length));
          counts.set(kind, (counts.get(kind) ?? 0) + 1);
        }
      }
    });
    return [...counts].map(([kind, count]) => ({ kind, count }));
  }

  healthy(): boolean {
    return this.#client.isAvailable;
  }

  #lose(error: unknown): void {
    if (!this.#lost) log.warn("redis.lease_lost", { error: reason(error) });
    this.#lost = true;
    this.#clock = undefined;
    this.#generation = randomUUID();
  }

  async #leaseEnd(): Promise<void> {
    const left = this.#leaseLeft();
    if (left > 0) await new Promise((done) => setTimeout(done, left));
  }

  #leaseLeft(): number {
    return this.#renewedAt + LEASE_MS + MARGIN_MS - performance.now();
  }

  async #quietly<Result>(command: (redis: Redis) => Promise<Result>): Promise<Result | undefined> {
    if (!this.#client.isAvailable) return undefined;
    try {
      return await this.#client.run(command);
    } catch (error) {
      log.debug("redis.command_failed", { error: reason(error) });
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await this.#invalidationClient[Symbol.asyncDispose]();
  }
}

async function* scan(redis: Redis, pattern: string): AsyncGenerator<string[]> {
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "MATCH", `${PREFIX}${pattern}`, "COUNT", 500);
    cursor = next;
    if (keys.length > 0) yield keys;
  } while (cursor !== "0");
}

const valueKey = (key: string) => `${PREFIX}v:${key}`;
const tagKey = (tag: string) => `${PREFIX}t:${tag}`;
const loadLockKey = (key: string) => `${PREFIX}l:${key}`;
