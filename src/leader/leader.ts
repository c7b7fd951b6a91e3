// Runs the jobs that exactly one replica runs at a time, for as long as it holds the leader's lock.
import { delay } from "../async/delay.ts";
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";
import { acquireLock, type LeaderLock } from "./lock.ts";

const LOCK = 7_411_531;
const RETRY_MS = 200;

/** One period of being the leader. */
export type Term = {
  /** The session that holds the lock: a write on it proves that no other leader had taken over. */
  sql: Sql;
  /** Aborts when the lock is lost or the service stops. */
  signal: AbortSignal;
  /** False from the moment at which another leader may have taken over. */
  isCurrent(): boolean;
};

/** Runs until the term's signal aborts. */
export type Job = (term: Term) => Promise<void>;

export type LeaderOptions = { sql: Sql; embedded: boolean; jobs: Job[] };

export class Leader implements AsyncDisposable {
  readonly #options: LeaderOptions;
  readonly #stop = new AbortController();
  #lock: LeaderLock | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  /** A process that was frozen may report true for a moment too long. */
  get isLeader(): boolean {
    return this.#lock?.isHeld() === true;
  }

  start(): void {
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await using lock = await this.#acquire(signal);
        this.#lock = lock;
        await this.#lead(lock);
      } catch (error) {
        if (!signal.aborted) log.warn("leader.lost", { error: reason(error) });
      }
      this.#lock = undefined;
      if (!signal.aborted) await delay(RETRY_MS, signal);
    }
  }

  /** The embedded database has one process, which leads from start to end. */
  async #acquire(signal: AbortSignal): Promise<LeaderLock> {
    const { sql, embedded } = this.#options;
    if (!embedded) return await acquireLock(sql, LOCK, signal);
    return { sql, lost: signal, isHeld: () => true, async [Symbol.asyncDispose]() {} };
  }

  /** A job that fails ends the term: all jobs begin again, here or on another replica. */
  async #lead({ sql, lost, isHeld }: LeaderLock): Promise<void> {
    const over = new AbortController();
    const term = { sql, signal: AbortSignal.any([lost, over.signal]), isCurrent: isHeld };
    const running = this.#options.jobs.map(async (job) => {
      try {
        await job(term);
      } catch (error) {
        over.abort();
        throw error;
      }
    });
    for (const end of await Promise.allSettled(running)) {
      if (end.status === "rejected") throw end.reason;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}
