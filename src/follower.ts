// Brings the caches after the log. One replica at a time holds the follower: it alone drops answers
// and refreshes Nginx, in log order, so nothing older can land on something newer. Every replica
// waits for its position to be visible before it answers a write.
import type { Recorded } from "$events/mod.ts";
import { erasing, staleAfter } from "$projections/mod.ts";
import type { Tier } from "./cache/tier.ts";
import type { Sql } from "./database.ts";
import { reason } from "./errors.ts";
import { type Hold, holdLock } from "./hold.ts";
import { log } from "./log.ts";
import { readHead, readReadable } from "./store/read.ts";
import type { Wakeups } from "./store/subscribe.ts";
import { Visible } from "./visible.ts";

const LOCK = 7_411_531;
const CHANNEL = "tallybook_visible";
const PAGE = 2000;
const RENEW_MS = 150;
const POLL_MS = 500;
// After a longer absence the caches start afresh; going through every event would help nobody.
const LONGEST_CATCH_UP = 5000;
const MAX_PUSHED = 20_000;

/** Has the copies outside fetched anew, by the holder alone. */
export type Refresher = {
  /** Resolves when none of these is served from before the call any more; throws if stopped. */
  refresh(addresses: ReadonlySet<string>, signal: AbortSignal): Promise<void>;
  refreshAll(signal: AbortSignal): Promise<void>;
  /** From now on this process is the holder, for as long as `isHeld` says so. */
  takeOver(isHeld: () => boolean): Promise<void>;
  /** And no longer; `sql` is the session that still holds the lock, if it does. */
  giveUp(sql: Sql): Promise<void>;
};

/** Work that only the holder does: deadlines, webhooks, visits. Runs until the signal. */
export type Job = (signal: AbortSignal) => Promise<void>;

export type FollowerOptions = {
  sql: Sql;
  wakeups: Wakeups;
  tier: Tier;
  refresher: Refresher;
  embedded: boolean;
  jobs?: Job[];
};

export class Follower implements AsyncDisposable {
  readonly #options: FollowerOptions;
  readonly #stop = new AbortController();
  readonly #visible: Visible;
  #holder = false;
  #hold: Hold | undefined;
  #pushed: Recorded[] = [];
  #running: Promise<void> = Promise.resolve();
  #unlisten: (() => Promise<void>) | undefined;
  #announcing = false;
  #announced = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    // The holder need not look, and is asked all the same: it may lose the lock meanwhile.
    this.#visible = new Visible(async () => this.#holder ? 0 : await checkpoint(options.sql));
  }

  get visible(): number {
    return this.#visible.position;
  }

  /** A process that was frozen may believe so for a moment longer than it is true. */
  get holder(): boolean {
    return this.#holder && this.#hold?.isHeld() === true;
  }

  async start(): Promise<void> {
    const { sql, embedded } = this.#options;
    if (!embedded) {
      const heard = await sql.listen(CHANNEL, (text) => this.#visible.saw(Number(text)));
      this.#unlisten = heard.unlisten;
    }
    this.#running = this.#run();
  }

  /** This process' own commits, so that the holder need not read them again. */
  push(events: Recorded[]): void {
    if (!this.#holder) return;
    if (this.#pushed.length > MAX_PUSHED) this.#pushed = [];
    this.#pushed.push(...events);
  }

  /** Whether every later read will see this position, waited for at most so long. */
  wait(position: number, ms: number): Promise<boolean> {
    return this.#visible.wait(position, ms);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await using hold = await this.#acquire(signal);
        await this.#lead(hold);
      } catch (error) {
        if (!signal.aborted) log.warn("follower", { error: reason(error) });
      }
      this.#holder = false;
      this.#pushed = [];
      if (!signal.aborted) await pause(200, signal);
    }
  }

  /** A session lock: whatever way the holder dies, the database gives it to the next one. */
  async #acquire(signal: AbortSignal): Promise<Hold> {
    const { sql, embedded } = this.#options;
    if (embedded) {
      return { sql, lost: signal, isHeld: () => true, async [Symbol.asyncDispose]() {} };
    }
    return await holdLock(sql, LOCK, signal);
  }

  async #lead(hold: Hold): Promise<void> {
    const { tier, refresher, jobs = [] } = this.#options;
    const { skipped, ...start } = await this.#startingPoint(hold.sql);
    let { position } = start;
    tier.takeOver();
    await refresher.takeOver(hold.isHeld);
    this.#hold = hold;
    this.#holder = true;
    const renewing = setInterval(() => hold.isHeld() && tier.renew(), RENEW_MS);
    const over = new AbortController();
    const ended = AbortSignal.any([hold.lost, over.signal]);
    const working = jobs.map((job) =>
      job(ended).catch((error) => log.error("job", { error: reason(error) }))
    );
    try {
      if (skipped) await refresher.refreshAll(hold.lost);
      while (!hold.lost.aborted) position = await this.#bring(hold, position);
    } finally {
      clearInterval(renewing);
      over.abort();
      await refresher.giveUp(hold.sql);
      await Promise.all(working);
    }
  }

  async #bring(hold: Hold, position: number): Promise<number> {
    const { wakeups, tier, refresher } = this.#options;
    const woken = new AbortController();
    const waking = wakeups.next(POLL_MS, AbortSignal.any([hold.lost, woken.signal]));
    const pushed = this.#takePushed(position);
    const { events, last, passedOver } = pushed
      ? { events: pushed, last: pushed.at(-1)?.position, passedOver: false }
      : await readReadable(this.#options.sql, { after: position, limit: PAGE });
    if (last === undefined) {
      this.#visible.saw(position);
      await waking;
      return position;
    }
    const { tags, addresses } = staleAfter(events);
    // What a later version wrote may have made anything stale.
    await (passedOver ? tier.dropAll(last) : tier.drop(tags, last));
    const kinds = events.flatMap(({ type }) => erasing[type] ?? []);
    if (kinds.length > 0) await tier.wipe([...new Set(kinds)]);
    if (passedOver) await refresher.refreshAll(hold.lost);
    else await refresher.refresh(addresses, hold.lost);
    this.#visible.saw(last);
    this.#announce(hold);
    // Nobody else has written meanwhile: there is nothing to look for until the next wake-up.
    if (pushed && wakeups.told <= last) await waking;
    else woken.abort();
    return last;
  }

  #takePushed(position: number): Recorded[] | undefined {
    const pushed = this.#pushed;
    if (pushed.length === 0) return undefined;
    this.#pushed = [];
    const next = pushed.findIndex((event) => event.position > position);
    if (next < 0 || pushed[next]?.position !== position + 1) return undefined;
    const events = pushed.slice(next);
    const dense = events.every((event, i) => event.position === position + 1 + i);
    return dense ? events : undefined;
  }

  /** To the other replicas, and into the checkpoint; the latest position is the only one that counts. */
  async #announce(hold: Hold): Promise<void> {
    if (this.#announcing) return;
    this.#announcing = true;
    try {
      while (this.#announced < this.#visible.position && !hold.lost.aborted) {
        const { position } = this.#visible;
        await saveCheckpoint(hold.sql, position);
        this.#announced = position;
      }
    } catch (error) {
      log.warn("follower checkpoint", { error: reason(error) });
    } finally {
      this.#announcing = false;
    }
  }

  async #startingPoint(sql: Sql): Promise<{ position: number; skipped: boolean }> {
    const [kept, head] = [await checkpoint(sql), await readHead(sql)];
    const position = Math.max(kept, head.position - LONGEST_CATCH_UP);
    return { position, skipped: position > kept };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#visible.close();
    await this.#unlisten?.();
  }
}

async function checkpoint(sql: Sql): Promise<number> {
  const [row] = await sql<{ position: number }[]>`
    select position from checkpoints where name = 'follower'`;
  return row?.position ?? 0;
}

async function saveCheckpoint(sql: Sql, position: number): Promise<void> {
  await sql`
    with saved as (
      insert into checkpoints (name, position) values ('follower', ${position})
      on conflict (name) do update set position = excluded.position
    )
    select pg_notify(${CHANNEL}, ${String(position)})`;
}

export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/** Where no Nginx stands before the service. */
export const noRefresher: Refresher = {
  refresh: () => Promise.resolve(),
  refreshAll: () => Promise.resolve(),
  takeOver: () => Promise.resolve(),
  giveUp: () => Promise.resolve(),
};
