// The connection to Redis. Redis is optional: a command that takes longer than tens of milliseconds
// opens the circuit breaker, and until a probe is answered no caller waits for Redis again.
import { Redis } from "ioredis";
import { SlotSet } from "../async/slot_set.ts";
import { AppError, reason } from "../errors.ts";
import { log } from "../log.ts";

/** How long a reader waits, once; then the circuit breaker opens. */
const COMMAND_MS = 40;
// The end of the wait goes in steps: a process that is itself delayed finds its timers due before
// it has read answers that came in time, and must not conclude that Redis hangs. Few steps, as each
// may be late.
const LAST_STEPS = 2;
const STEP_MS = 2;
const PROBE_MS = 200;

/** Whether a command was sent and not answered, so that its outcome is unknown. */
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
  #breakerTrips = 0;
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
    // The circuit breaker logs it once; without a listener each lost connection would end the
    // process.
    this.redis.on("error", (error) => log.debug("redis.command_failed", { error: reason(error) }));
    // The next server at this address may have lost what the last one stored.
    this.redis.on("close", () => {
      this.#lostAt = performance.now();
      this.#openBreaker("the connection ended");
    });
    // Logged here: the breaker is open from the start, so nothing else would say it.
    this.redis.connect().catch((error) => {
      this.#lost = true;
      log.warn("redis.unavailable", { error: reason(error) });
    });
    this.#probeSoon();
  }

  /** Whether commands may be sent now. */
  get isAvailable(): boolean {
    return !this.#open;
  }

  /** Since when the server may be a different one, or one that has lost its data. */
  get lostAt(): number {
    return this.#lostAt;
  }

  /** How often the circuit breaker has opened. */
  get breakerTrips(): number {
    return this.#breakerTrips;
  }

  /** Runs a command; a failure opens the circuit breaker and rejects. */
  async run<Result>(
    command: (redis: Redis) => Promise<Result>,
    patience = COMMAND_MS,
  ): Promise<Result> {
    if (this.#open) throw new AppError("unavailable", "redis is away");
    try {
      return await this.#within(patience, command(this.redis));
    } catch (error) {
      if (!isReplyError(error)) this.#openBreaker(error);
      throw error;
    }
  }

  #openBreaker(error: unknown): void {
    if (this.#open || this.#closed) return;
    this.#open = true;
    this.#lost = true;
    this.#breakerTrips++;
    log.warn("redis.unavailable", { error: reason(error) });
    // Fails all waiting commands at once, rather than each after its own timeout.
    for (const refuse of this.#waiting) {
      refuse(new AppError("unavailable", `${NO_ANSWER} to another command`));
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

/** Redis answered with an error, so it is available. */
function isReplyError(error: unknown): boolean {
  return error instanceof Error && error.name === "ReplyError";
}
