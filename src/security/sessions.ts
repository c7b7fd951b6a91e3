// Sessions of the admin desk: a random id in Redis, or in memory without Redis.
import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import { AppError, reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import { digest } from "./secrets.ts";
import type { RedisClient } from "../connections/redis.ts";

export const SESSION_SECONDS = 12 * 3600;
const PREFIX = "tallybook:s:";
const READ_MS = 300;
const WRITE_MS = 1500;
const RETRY_MS = 50;

export class Sessions {
  readonly #link: RedisClient | undefined;
  readonly #own = new Map<string, number>();

  constructor(link?: RedisClient) {
    this.#link = link;
  }

  async open(): Promise<string> {
    const id = randomBytes(32).toString("base64url");
    if (!this.#link) this.#own.set(digest(id), Date.now() + SESSION_SECONDS * 1000);
    else {
      await this.#withRetries((redis) =>
        redis.set(PREFIX + digest(id), "1", "EX", SESSION_SECONDS)
      );
    }
    return id;
  }

  async has(id: string): Promise<boolean> {
    if (!this.#link) return (this.#own.get(digest(id)) ?? 0) > Date.now();
    try {
      return await this.#withRetries((redis) => redis.exists(PREFIX + digest(id)), READ_MS) === 1;
    } catch {
      // Without Redis no session is valid, and reading goes on.
      return false;
    }
  }

  async close(id: string): Promise<void> {
    this.#own.delete(digest(id));
    await this.#withRetries((redis) => redis.del(PREFIX + digest(id)));
  }

  /** Retries: a Redis that was slow for a moment soon answers again, and logging in waits for that. */
  async #withRetries<Result>(
    command: (redis: Redis) => Promise<Result>,
    withinMs = WRITE_MS,
  ): Promise<Result | undefined> {
    const until = performance.now() + withinMs;
    for (;;) {
      try {
        return await this.#link?.run(command);
      } catch (error) {
        if (performance.now() < until) await delay(RETRY_MS);
        else throw new AppError("unavailable", `sessions: ${reason(error)}`, { retryAfter: 1 });
      }
    }
  }
}
