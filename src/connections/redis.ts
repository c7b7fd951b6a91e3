// The connection to Redis. Redis is optional: a command that takes longer than tens of milliseconds
// opens a circuit, and until a probe gets an answer nobody waits for Redis again.
import { Redis } from "ioredis";
import { SlotSet } from "../async/slot_set.ts";
import { AppError, reason } from "../errors.ts";
import { log } from "../log.ts";

/** What a reader waits, once; then the circuit is open. */
const COMMAND_MS = 40;
// The last of it in steps: a process that is held up itself finds its timers due before it has read
// what came in time, and must not take that for a Redis that hangs. Few, as each may come late.
const LAST_STEPS = 2;
const STEP_MS = 2;
const PROBE_MS = 200;

/** Whether a command was sent and not answered, so that nobody knows whether it was done. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof AppError && error.message.startsWith(NO_ANSWER);
}

const NO_ANSWER = "no answer from redis";

type Refuse = (error: unknown) => void;

export class RedisClient implements AsyncDisposable {
  readonly redis: Redis;
  #open = true;
  #closed = false;
  #lost = false;
  #openings = 0;
  #lostAt = performance.now();
  #probe: ReturnType<typeof setTimeout> | undefined;
  readonly #waiting = new SlotSet<Refuse>();

  constructor(url: string) {
    this.redis = new Redis(url, {
      connectTimeout: 1000,
      enableOfflineQueue: false,
      enableAutoPipelining: true,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => PROBE_MS,
      lazyConnect: true,
    });
    // Said once by the circuit; without a listener each lost connection would end the process.
    this.redis.on("error", (error) => log.debug("redis.command_failed", { error: reason(error) }));
    // Whoever is at the other end next may have forgotten what the last one knew.
    this.redis.on("close", () => {
      this.#lostAt = performance.now();
      this.#opened("the connection ended");
    });
    this.redis.connect().catch((error) =>
      log.debug("redis.command_failed", { error: reason(error) })
    );
    this.#probeSoon();
  }

  /** Whether Redis may be asked just now. */
  get isAvailable(): boolean {
    return !this.#open;
  }

  /** Since when the server at the other end may be another one, or one that has forgotten. */
  get lostAt(): number {
    return this.#lostAt;
  }

  /** How often it was given up. */
  get breakerTrips(): number {
    return this.#openings;
  }

  /** Runs a command; a failure opens the circuit and is said to the caller. */
  async run<Result>(
    command: (redis: Redis) => Promise<Result>,
    patience = COMMAND_MS,
  ): Promise<Result> {
    if (this.#open) throw new AppError("unavailable", "redis is away");
    try {
      return await this.#within(patience, command(this.redis));
    } catch (error) {
      if (!isReplyError(error)) this.#opened(error);
      throw error;
    }
  }

  #opened(error: unknown): void {
    if (this.#open || this.#closed) return;
    this.#open = true;
    this.#lost = true;
    this.#openings++;
    log.warn("redis.unavailable", { error: reason(error) });
    // What one has waited for in vain need not be waited for by the others.
    for (const refuse of this.#waiting) {
      refuse(new AppError("unavailable", `${NO_ANSWER} to others`));
    }
    this.#probeSoon();
  }

  #within<Result>(ms: number, work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      let steps = LAST_STEPS;
      const step = () => {
        if (steps-- > 0) timer = setTimeout(step, STEP_MS);
        else reject(new AppError("unavailable", `${NO_ANSWER} in ${ms} ms`));
      };
      let timer = setTimeout(step, ms - LAST_STEPS * STEP_MS);
      const leave = this.#waiting.add(reject);
      work.then(resolve, reject).finally(() => {
        clearTimeout(timer);
        leave();
      });
    });
  }

  #probeSoon(): void {
    if (this.#closed || this.#probe !== undefined) return;
    this.#probe = setTimeout(async () => {
      this.#probe = undefined;
      try {
        await this.#within(COMMAND_MS, this.redis.ping());
        this.#open = false;
        if (this.#lost) log.info("redis.available");
      } catch {
        this.#probeSoon();
      }
    }, this.#open && this.redis.status !== "ready" ? 20 : PROBE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#open = true;
    clearTimeout(this.#probe);
    this.redis.disconnect();
    await Promise.resolve();
  }
}

/** Redis answered, and said no: it is there. */
function isReplyError(error: unknown): boolean {
  return error instanceof Error && error.name === "ReplyError";
}
