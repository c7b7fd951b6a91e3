// Keeps what Nginx holds as fresh as the log. The holder alone has Nginx store anything: what a
// reader missed, a moment later, and what an event changed, before its write is answered. What it
// may have stored is written down first, so that the next holder knows.
import type { Sql } from "./database.ts";
import { AppError, reason } from "./errors.ts";
import type { Refresher } from "./follower.ts";
import { log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { type Copy, parseCopy, partsOf } from "./refresh/copies.ts";
import { LANDING_MS, LIFE_MS, LOOK_MS, Nginx } from "./refresh/nginx.ts";

const PREFIX = "nginx ";
// Left by a holder that ended in order: nothing that it asked for is under way any more.
const CLEAN = "nginx-clean";
// Written down for longer than a copy lives, so that one in use is written seldom.
export const WRITTEN_MS = 30_000;
// How long a holder may go on before it notices that it is none any more: SILENT_MS in hold.ts.
const NOTICE_MS = 2500;
// A copy of a holder before may be there for so long.
const INHERITED_MS = NOTICE_MS + LANDING_MS + LIFE_MS;
// Until what was sent before it is through: looked whether Nginx is there, sent, and looked at.
const TURN_MS = LANDING_MS + 2 * LOOK_MS;
// What is sent takes as long at most: its turn, tried until the copy of before has ended, under way, alive.
export const OUTSTANDING_MS = TURN_MS + INHERITED_MS + LANDING_MS + LIFE_MS;
const AT_ONCE = 16;
const MAX_WAITING = 2000;

export type RefreshOptions = { sql: Sql; urls: string[]; secret: string; metrics: Metrics };

export class NginxRefresher implements Refresher {
  readonly #sql: Sql;
  readonly #nginxes: Nginx[];
  readonly #written = new Map<Copy, number>();
  #wanted = new Set<Copy>();
  #filling: Promise<void> = Promise.resolve();
  readonly #underWay = new Set<Promise<void>>();
  #busy = false;
  #term = new AbortController();

  constructor({ sql, urls, secret, metrics }: RefreshOptions) {
    this.#sql = sql;
    this.#nginxes = urls.map((url) =>
      new Nginx({
        url,
        secret,
        onFailure: () => metrics.refreshFailures.inc({ nginx: new URL(url).host }),
      })
    );
    this.#term.abort();
  }

  async takeOver(isHeld: () => boolean): Promise<void> {
    const now = performance.now();
    const rows = await this.#sql<{ name: string; rest: number }[]>`
      select name, position - floor(extract(epoch from clock_timestamp()) * 1000)::bigint as rest
      from checkpoints where starts_with(name, ${PREFIX})`;
    const copies = rows.flatMap(({ name, rest }) => {
      const copy = parseCopy(name.slice(PREFIX.length));
      const until = now + Math.min(rest, INHERITED_MS);
      return copy && rest > 0 ? [{ copy, until }] : [];
    });
    const clean = await this.#sql`delete from checkpoints where name = ${CLEAN} returning name`;
    const strayUntil = clean.length > 0 ? 0 : now + NOTICE_MS + LANDING_MS;
    for (const nginx of this.#nginxes) nginx.adopt(copies, { strayUntil, isHeld });
    this.#written.clear();
    this.#term = new AbortController();
    await this.#forgetOld();
  }

  async giveUp(sql: Sql): Promise<void> {
    this.#term.abort();
    this.#wanted.clear();
    await this.#filling;
    await Promise.all(this.#underWay);
    if (this.#nginxes.some((nginx) => nginx.isSuspect)) return;
    try {
      await sql`
        insert into checkpoints (name, position) values (${CLEAN}, 0) on conflict do nothing`;
    } catch (error) {
      log.debug("given up without a word", { error: reason(error) });
    }
  }

  async refresh(addresses: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    await this.#renew((copy) => addresses.has(partsOf(copy).path), signal);
  }

  async refreshAll(signal: AbortSignal): Promise<void> {
    await this.#renew(() => true, signal);
  }

  /** Readers missed these. */
  want(copies: Copy[]): void {
    if (this.#term.signal.aborted) return;
    for (const copy of copies) {
      if (this.#wanted.size >= MAX_WAITING) break;
      if (this.#nginxes.some((nginx) => nginx.lacks(copy))) this.#wanted.add(copy);
    }
    if (!this.#busy && this.#wanted.size > 0) this.#filling = this.#fill();
  }

  async #renew(isTouched: (copy: Copy) => boolean, signal: AbortSignal): Promise<void> {
    const touched = this.#nginxes.map((nginx) => ({
      nginx,
      copies: nginx.copies().filter(isTouched),
    }));
    await this.#makeRoom();
    // What changes all the time is never missed by a reader, and is stored for as long as it does.
    await this.#writeDown([...new Set(touched.flatMap(({ copies }) => copies))]);
    await allEnded(
      touched.map(({ nginx, copies }) =>
        inParallel(copies, async (copy) => {
          // Again, as its turn may come late where there are many.
          await this.#writeDown([copy]);
          await nginx.renew(copy, signal);
        })
      ),
    );
    if (signal.aborted) throw new AppError("unavailable", "no longer the holder");
  }

  async #fill(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#wanted.size > 0) {
        const copies = [...this.#wanted].slice(0, AT_ONCE);
        for (const copy of copies) this.#wanted.delete(copy);
        await this.#makeRoom();
        await this.#writeDown(copies);
        for (const copy of copies) this.#fillEverywhere(copy);
        while (this.#underWay.size > 2 * AT_ONCE) await Promise.race(this.#underWay);
      }
    } catch (error) {
      log.warn("copies are not filled", { error: reason(error) });
    } finally {
      this.#busy = false;
    }
  }

  #fillEverywhere(copy: Copy): void {
    for (const nginx of this.#nginxes) {
      if (this.#term.signal.aborted || nginx.isDown) continue;
      const filled = nginx.fill(copy).finally(() => this.#underWay.delete(filled));
      this.#underWay.add(filled);
    }
  }

  async #writeDown(copies: Copy[]): Promise<void> {
    const now = performance.now();
    const due = copies.filter((copy) => (this.#written.get(copy) ?? 0) < now + OUTSTANDING_MS);
    if (due.length === 0) return;
    await this.#sql`
      insert into checkpoints (name, position)
      select name, floor(extract(epoch from clock_timestamp()) * 1000)::bigint + ${WRITTEN_MS}
      from unnest(${due.map((copy) => PREFIX + copy)}::text[]) n(name) order by name
      on conflict (name) do update set position = excluded.position`;
    for (const copy of due) this.#written.set(copy, now + WRITTEN_MS);
  }

  /** Once for all that are to be written down: each would be due again after it. */
  async #makeRoom(): Promise<void> {
    if (this.#written.size <= MAX_WAITING) return;
    this.#written.clear();
    await this.#forgetOld();
  }

  async #forgetOld(): Promise<void> {
    await this.#sql`
      delete from checkpoints where name in (
        select name from checkpoints where starts_with(name, ${PREFIX})
          and position < floor(extract(epoch from clock_timestamp()) * 1000)::bigint
        order by name for update skip locked)`;
  }
}

async function inParallel<Item>(items: Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = each(items);
  const workers = Array.from({ length: Math.min(AT_ONCE, items.length) }, async () => {
    for (const item of left) await work(item);
  });
  await allEnded(workers);
}

/** Shared by many: who fails on an item ends it for all. An array's own iterator would go on. */
function* each<Item>(items: Item[]): Generator<Item> {
  yield* items;
}

/** Fails as the first one did, but when nothing is under way any more: who is next relies on it. */
async function allEnded(works: Promise<void>[]): Promise<void> {
  for (const work of await Promise.allSettled(works)) {
    if (work.status === "rejected") throw work.reason;
  }
}
