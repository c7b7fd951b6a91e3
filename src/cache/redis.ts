// Answers in Redis. Four things decide whether one is believed: that this service wrote it under this
// very key (a signature with a secret that Redis does not know), and, read in one round trip, the
// lease (held only while everything up to the head has been dropped), its generation, and whether
// a tag of the answer changed after the position it was worked out at.
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
// Beyond the lease: what clocks of two machines may drift apart within one lease.
const MARGIN_MS = 100;
const CLAIM_MS = 2000;
// Only writers wait for these, and they would wait longer for the lease to end.
const PATIENCE_MS = 450;

type Links = { client: RedisClient; invalidationClient: RedisClient };

export class RedisCache implements CacheBackend {
  readonly #client: RedisClient;
  /** For drops and the lease: that a reader was answered late must cost neither. */
  readonly #invalidationClient: RedisClient;
  readonly #ttlMs: number;
  readonly #signed: SignedAnswers;
  #generation: string = randomUUID();
  #clock: { redis: number; at: number } | undefined;
  #renewedAt = -LEASE_MS - MARGIN_MS;
  #lost = true;
  #renewing = false;
  #openings = 0;
  /** The generation that Redis was given a lease for. */
  #given: string | undefined;

  constructor(links: Links, { ttlSeconds, secret }: { ttlSeconds: number; secret: string }) {
    this.#client = links.client;
    this.#invalidationClient = links.invalidationClient;
    this.#ttlMs = ttlSeconds * 1000;
    this.#signed = new SignedAnswers(secret);
  }

  async get({ key, tags }: Lookup): Promise<CacheResult> {
    // A Redis that has just been restarted may have its lease back from disk, but not its newest tags. The
    // lease ends at a fixed time, so that it is over by then.
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
      await redis.del(claimKey(key));
    });
  }

  /** Both in one round trip, in this order; a claim that found an answer is given back. */
  async acquireLoadLock(lookup: Lookup, generation: string): Promise<LoadLock> {
    if (generation === NO_LEASE) return { acquired: true, result: { generation } };
    const claimed = claimKey(lookup.key);
    const [taken, result] = await Promise.all([
      this.#quietly((redis) => redis.set(claimed, "1", "PX", CLAIM_MS, "NX")),
      this.get(lookup),
    ]);
    if (taken === "OK" && result.value) await this.#quietly((redis) => redis.del(claimed));
    return { acquired: taken !== null, result };
  }

  /** By whichever process: a tag only ever moves on, so that drops may overtake each other. */
  async invalidate(tags: ReadonlySet<string>, position: number): Promise<void> {
    if (tags.size === 0) return;
    const keys = [...tags].map(tagKey);
    // Twice the longest life of an answer, so that no answer outlives the tag against it.
    const ms = this.#ttlMs * 2 + 60_000;
    await this.#invalidationClient.run(
      (redis) => redis.eval(DROP, keys.length, ...keys, position, ms),
      PATIENCE_MS,
    );
  }

  /**
   * While Redis cannot be reached its lease runs out; only when it surely has is the drop as good
   * as done. What Redis held before is then never believed again: the generation is a new one.
   */
  async endLease(): Promise<void> {
    this.#lose("a change could not be dropped");
    await this.#leaseEnd();
  }

  /**
   * Without a lease nobody believes what is kept, and the next one is of a new generation. It is given
   * on this same connection, so none of the old generation can come after.
   */
  async invalidateAll(): Promise<void> {
    const wasInUse = !this.#lost;
    this.#lose("all of it was dropped");
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
   * Keeps Redis in use, or takes it into use again once no lease of before can be left. One at a
   * time: while none is answered, the end of the lease comes no later.
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
    const wasAway = breakerTrips !== this.#openings;
    this.#openings = breakerTrips;
    // Also where it was away between two renewals: it may have lost tags.
    if (wasAway || !this.#invalidationClient.isAvailable) return this.#lose("redis was away");
    if (this.#lost && this.#leaseLeft() > 0) return;
    const asked = performance.now();
    const clock = this.#clock;
    const generation = this.#generation;
    const isThere = this.#given === generation ? "1" : "0";
    const expiry = clock ? Math.floor(clock.redis + (asked - clock.at)) + LEASE_MS : 0;
    if (clock) this.#renewedAt = asked;
    try {
      const now = await this.#invalidationClient.run(
        (redis) => redis.eval(RENEW, 1, LEASE, generation, expiry, isThere),
        PATIENCE_MS,
      );
      if (Number(now) < 0) {
        // Nobody has it any more, so nobody need wait for its end.
        this.#renewedAt = asked - LEASE_MS - MARGIN_MS;
        return this.#lose("redis was flushed");
      }
      if (this.#generation !== generation) return;
      this.#clock = { redis: Number(now), at: asked };
      this.#given = clock ? generation : undefined;
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
const claimKey = (key: string) => `${PREFIX}l:${key}`;
