// Appends events to the log. Requests that arrive while a transaction is under way go together into
// the next one (group commit), each with its own outcome.
import { setImmediate } from "node:timers";
import type { Recorded } from "$events/mod.ts";
import { setCoarseTimeout } from "../async/deadline.ts";
import {
  asUnavailable,
  inTransaction,
  isConnectionError,
  type Sql,
  type Tx,
} from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { type Append, type Hook, type Outcome, type Prepared, writeBatch } from "./append_batch.ts";
import { findKeys, type Keys } from "./personal_data.ts";
import { needsOldKey, prepare } from "./append_prepare.ts";
import { readEvents } from "./read.ts";

export type { Append, Expected, Guard, Hook, StreamAppend } from "./append_batch.ts";
export type { Idempotency } from "./append_statements.ts";

export type Appended = {
  events: Recorded[];
  first: number;
  last: number;
  /** The events are those of an earlier append with the same idempotency key. */
  replayed: boolean;
  /** The result of onCommit for the batch; undefined where this append wrote nothing. */
  invalidated?: Promise<boolean>;
};

export type AppenderOptions = {
  hook?: Hook;
  /** Called after each commit, in log order, before the callers are answered. */
  onCommit?: (events: Recorded[]) => Promise<boolean> | undefined;
  /** Called when it is unknown whether the last batch is in the log; onCommit is not called for it. */
  onUnknown?: () => void;
  onBatch?: (facts: { appends: number; events: number; seconds: number }) => void;
  /** Called with what onCommit or onBatch threw: the append stands all the same. */
  onError?: (error: unknown) => void;
  maxBatch?: number;
  deadlineMs?: number;
};

const MAX_QUEUE = 20_000;

type Settled = Outcome & { invalidated?: Promise<boolean> };

type Waiting = {
  prepared: Prepared;
  settle: (outcome: Settled | { failure: unknown }) => void;
  isSettled: boolean;
};

export class Appender {
  readonly #sql: Sql;
  readonly #options: AppenderOptions;
  #queue: Waiting[] = [];
  #running: Promise<void> | undefined;
  #closed = false;
  #last = 0;

  constructor(sql: Sql, options: AppenderOptions = {}) {
    this.#sql = sql;
    this.#options = options;
  }

  /** Whether the batch ending there is this process' own: its last one, or the one under way. */
  wrote(position: number): boolean {
    return position === this.#last;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Resolves once the events are durable; rejects with a conflict that names the actual version. */
  async append(append: Append): Promise<Appended> {
    this.#refuseWhenFull();
    const streams = append.streams.filter(needsOldKey).map(({ stream }) => stream);
    const old = streams.length > 0 && await this.#reading(() => findKeys(this.#sql, streams));
    const outcome = await this.#enqueue(prepare(append, old || NO_KEYS));
    if ("error" in outcome) throw outcome.error;
    if (!outcome.replayed) return outcome;
    const { first, last } = outcome;
    const page = { after: first - 1, until: last, limit: last - first + 1 };
    return { ...outcome, events: await this.#reading(() => readEvents(this.#sql, page)) };
  }

  /** Refuses new appends, and finishes those in the queue. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  #refuseWhenFull(): void {
    if (this.#closed) throw new AppError("unavailable", "shutting down", { retryAfter: 2 });
    if (this.#queue.length < MAX_QUEUE) return;
    throw new AppError("unavailable", `too many appends wait: ${MAX_QUEUE}`, { retryAfter: 1 });
  }

  async #reading<Result>(read: () => Promise<Result>): Promise<Result> {
    try {
      return await read();
    } catch (error) {
      throw asUnavailable(error);
    }
  }

  #enqueue(prepared: Prepared): Promise<Settled> {
    this.#refuseWhenFull();
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        prepared,
        isSettled: false,
        settle(outcome) {
          if (this.isSettled) return;
          this.isSettled = true;
          cancel();
          if ("failure" in outcome) reject(outcome.failure);
          else resolve(outcome);
        },
      };
      const cancel = setCoarseTimeout(this.#options.deadlineMs ?? 8000, () => {
        const message = "the log did not answer in time: the outcome is not known";
        waiting.settle({ failure: new AppError("unavailable", message, { retryAfter: 2 }) });
      });
      this.#queue.push(waiting);
      this.#running ??= this.#drain();
    });
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      await wholeTurn();
      const queued = this.#queue.splice(0, this.#options.maxBatch ?? 500);
      const batch = queued.filter((waiting) => !waiting.isSettled);
      if (batch.length > 0) await this.#commit(batch);
    }
    this.#running = undefined;
  }

  async #commit(batch: Waiting[]): Promise<void> {
    const started = performance.now();
    let outcomes: Outcome[];
    try {
      outcomes = await this.#write(batch.map((waiting) => waiting.prepared));
    } catch (error) {
      this.#last = 0;
      this.#options.onUnknown?.();
      return await this.#recover(batch, error);
    }
    const invalidated = this.#publish(outcomes, started);
    batch.forEach((waiting, i) => {
      const outcome = outcomes[i];
      if (outcome === undefined) waiting.settle({ failure: new Error("lost") });
      // An append that wrote nothing depends on earlier commits, not on this batch.
      else if ("events" in outcome && outcome.events.length > 0) {
        waiting.settle({ ...outcome, invalidated });
      } else waiting.settle(outcome);
    });
  }

  /** Without savepoints while nothing fails, which is nearly always: each costs a turn. */
  async #write(batch: Prepared[]): Promise<Outcome[]> {
    try {
      return await this.#transaction(batch, false);
    } catch (error) {
      if (!this.#options.hook?.applyIsolated || isConnectionError(error)) throw error;
      return await this.#transaction(batch, true);
    }
  }

  /** Names the isolation level: a stricter default would not see what the lock's last holder wrote. */
  #transaction(batch: Prepared[], isolated: boolean): Promise<Outcome[]> {
    const work = async (tx: Tx) => {
      const outcomes = await writeBatch(tx, batch, { hook: this.#options.hook, isolated });
      this.#last = eventsOf(outcomes).at(-1)?.position ?? 0;
      return outcomes;
    };
    return inTransaction(this.#sql, work, "isolation level read committed");
  }

  /** Retries each append of a failed batch alone, so that only the culprit fails. */
  async #recover(batch: Waiting[], error: unknown): Promise<void> {
    if (batch.length === 1 || isConnectionError(error)) {
      for (const waiting of batch) waiting.settle({ failure: writtenBeside(asUnavailable(error)) });
      return;
    }
    for (const waiting of batch) if (!waiting.isSettled) await this.#commit([waiting]);
  }

  #publish(outcomes: Outcome[], started: number): Promise<boolean> | undefined {
    try {
      const events = eventsOf(outcomes);
      const seconds = (performance.now() - started) / 1000;
      this.#options.onBatch?.({ appends: outcomes.length, events: events.length, seconds });
      if (events.length > 0) return this.#options.onCommit?.(events);
    } catch (error) {
      this.#options.onError?.(error);
    }
  }
}

function eventsOf(outcomes: Outcome[]): Recorded[] {
  return outcomes.flatMap((outcome) =>
    "error" in outcome || outcome.replayed ? [] : outcome.events
  );
}

// Positions and versions are assigned under the lock: if one is taken already, somebody wrote
// without it, and no later append can succeed either.
function writtenBeside(error: unknown): unknown {
  if (!(error instanceof Error && "code" in error && error.code === "23505")) return error;
  if (!("table_name" in error && error.table_name === "events")) return error;
  const message = "the log holds an event that its counter does not know: verify names it";
  return new AppError("unavailable", message, { retryAfter: 60 });
}

/**
 * Callers that were answered together come back together, one after the other in the same turn of
 * the event loop: without this wait the first of them went alone, and a batch of one cost a commit.
 */
function wholeTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const NO_KEYS: Keys = new Map();
