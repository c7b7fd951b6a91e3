// The leader's part of freshness. Each replica invalidates what it commits and confirms it here.
// The leader reads unconfirmed events from the log (their replica died, or could not reach a cache)
// and invalidates them itself; then it moves the watermark, which every replica can wait for.
import type { Recorded } from "$events/mod.ts";
import { delay } from "../async/delay.ts";
import type { CacheBackend } from "../cache/backend.ts";
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import type { Term } from "../leader/leader.ts";
import { log } from "../log.ts";
import { readHead, readReadable } from "../store/read.ts";
import { AppendSignal } from "../store/subscribe.ts";
import { changesOf, type PositionRange } from "./invalidator.ts";
import { NginxContacts } from "./nginx_contacts.ts";
import type { NginxVersions } from "./nginx_versions.ts";
import { PositionRanges } from "./position_ranges.ts";
import type { Watermark } from "./watermark.ts";

const HEAD_CHANNEL = "tallybook";
const CONFIRMED_CHANNEL = "tallybook_confirmed";
const WATERMARK_CHANNEL = "tallybook_visible";
/** Sent in place of a confirmation by a replica that could not reach a cache: do not wait for one. */
const FAILED = "failed";
const CHECKPOINT = "freshness";
const PAGE = 2000;
const POLL_MS = 500;
const RENEW_MS = 150;
// How long a confirmation may take before the leader invalidates once more. Too short costs misses.
const GRACE_MS = 200;
// After a longer absence it invalidates everything; going through each event would gain nothing.
const LONGEST_CATCH_UP = 5000;

export type CatchUpOptions = {
  sql: Sql;
  embedded: boolean;
  cache: CacheBackend;
  nginxes: NginxVersions[];
  watermark: Watermark;
};

type Leading = { term: Term; contacts: NginxContacts; position: number };

export class CatchUp implements AsyncDisposable {
  readonly #options: CatchUpOptions;
  readonly #changed = new AppendSignal();
  readonly #confirmed = new PositionRanges();
  #unlisten: (() => Promise<void>)[] = [];
  #leading = false;
  /** The last position known to be committed. */
  #head = 0;
  /** A replica reported a failure: the leader does not wait for its confirmations. */
  #hasFailed = false;
  #outgoing: string[] = [];
  #isSending = false;

  constructor(options: CatchUpOptions) {
    this.#options = options;
  }

  async listen(): Promise<void> {
    const { sql, embedded, watermark } = this.#options;
    if (embedded) return;
    const subscriptions = await Promise.all([
      sql.listen(HEAD_CHANNEL, (position) => this.#headMoved(Number(position))),
      sql.listen(CONFIRMED_CHANNEL, (text) => this.#receive(text)),
      sql.listen(WATERMARK_CHANNEL, (position) => watermark.advance(Number(position))),
    ]);
    this.#unlisten = subscriptions.map(({ unlisten }) => unlisten);
  }

  /** Reports this process' own commits, each once its invalidation has succeeded or failed. */
  report(ranges: PositionRange[], done: boolean): void {
    // Never both in one report: a long one is sent in several messages.
    const words = done ? ranges.map(({ first, last }) => `${first}-${last}`) : [FAILED];
    if (this.#leading || this.#options.embedded) return this.#receive(words.join(" "));
    this.#outgoing.push(...words);
    void this.#send();
  }

  /** Confirmations are hints: a lost one costs misses, because the leader then invalidates again. */
  async #send(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    while (this.#outgoing.length > 0) {
      const text = this.#outgoing.splice(0, 200).join(" ");
      try {
        await this.#options.sql`select pg_notify(${CONFIRMED_CHANNEL}, ${text})`;
      } catch (error) {
        log.debug("freshness.confirmation_lost", { error: reason(error) });
      }
    }
    this.#isSending = false;
  }

  #receive(text: string): void {
    if (!this.#leading) return;
    for (const word of text.split(" ")) {
      if (word === FAILED) this.#hasFailed = true;
      const [first = NaN, last = NaN] = word.split("-").map(Number);
      if (!Number.isInteger(first) || !Number.isInteger(last)) continue;
      this.#confirmed.add({ first, last });
      this.#head = Math.max(this.#head, last);
    }
    this.#changed.wake();
  }

  #headMoved(position: number): void {
    if (!this.#leading || position <= this.#head) return;
    this.#head = position;
    this.#changed.wake();
  }

  /** Runs for as long as this process is the leader. */
  lead = async (term: Term): Promise<void> => {
    this.#confirmed.clear();
    this.#head = 0;
    this.#leading = true;
    try {
      await this.#follow(await this.#takeOver(term));
    } finally {
      this.#leading = false;
    }
  };

  async #takeOver(term: Term): Promise<Leading> {
    const { cache, nginxes, watermark } = this.#options;
    cache.takeOver();
    const contacts = await NginxContacts.open(term.sql, nginxes);
    const position = await savedWatermark(term.sql);
    this.#head = Math.max(this.#head, (await readHead(term.sql)).position);
    // The confirmations of commits that the last leader did not reach are lost with it.
    this.#hasFailed = this.#head > position;
    watermark.advance(position);
    return { term, contacts, position };
  }

  /** Keeps the caches up to date with the log, each Nginx in contact, and the lease of Redis renewed. */
  async #follow(leading: Leading): Promise<void> {
    const { term, contacts } = leading;
    let isBehind = false;
    const renewing = setInterval(() => {
      if (!isBehind && term.isCurrent()) void this.#options.cache.renewLease();
    }, RENEW_MS);
    const keeping = contacts.keep(term.signal);
    while (!term.signal.aborted) {
      try {
        await this.#step(leading);
        isBehind = false;
      } catch (error) {
        if (term.signal.aborted) break;
        isBehind = true;
        log.warn("freshness.behind", { error: reason(error) });
        await delay(RENEW_MS, term.signal);
      }
    }
    clearInterval(renewing);
    await keeping;
  }

  async #step(leading: Leading): Promise<void> {
    const { signal } = leading.term;
    const woken = this.#changed.next(POLL_MS, signal);
    const confirmed = this.#confirmed.takeFrom(leading.position);
    if (confirmed > leading.position) return await this.#advance(leading, confirmed);
    if (this.#head > leading.position) return await this.#wait(leading);
    const began = performance.now();
    await woken;
    // The wait timed out: a notification may have been missed.
    if (performance.now() - began >= POLL_MS) {
      this.#head = Math.max(this.#head, (await readHead(leading.term.sql)).position);
    }
  }

  /** Waits for the confirmation of the next position; without one, invalidates it. */
  async #wait(leading: Leading): Promise<void> {
    const { position, term } = leading;
    const until = performance.now() + GRACE_MS;
    while (!this.#hasFailed && !term.signal.aborted) {
      const left = until - performance.now();
      if (left <= 0) break;
      await this.#changed.next(left, term.signal);
      const confirmed = this.#confirmed.takeFrom(position);
      if (confirmed > position) return await this.#advance(leading, confirmed);
    }
    if (!term.signal.aborted) await this.#catchUp(leading);
  }

  async #catchUp(leading: Leading): Promise<void> {
    const { term, contacts, position } = leading;
    this.#hasFailed = false;
    const head = (await readHead(term.sql)).position;
    if (head - position > LONGEST_CATCH_UP) {
      await this.#options.cache.invalidateAll(head);
      await contacts.raise("all", term.signal);
      return await this.#advance(leading, head);
    }
    const { events, last, passedOver } = await readReadable(this.#options.sql, {
      after: position,
      limit: PAGE,
    });
    if (last === undefined) {
      // A restored database may be behind the announced position.
      this.#head = head;
      return;
    }
    if (passedOver) {
      // Events of a later version may have made anything stale.
      await this.#options.cache.invalidateAll(last);
      await contacts.raise("all", term.signal);
    } else await this.#invalidate(leading, events);
    await this.#advance(leading, last);
  }

  async #invalidate({ term, contacts }: Leading, events: Recorded[]): Promise<void> {
    const { cache } = this.#options;
    const { position, tags, paths, erasedKinds } = changesOf(events);
    try {
      await cache.invalidate(tags, position);
    } catch {
      await cache.endLease();
    }
    if (erasedKinds.length > 0) await cache.purgeKinds(erasedKinds);
    await contacts.raise(paths, term.signal);
  }

  /**
   * Saves on the lock's own session: success proves that no other leader had taken over, which
   * might already have begun to trust an Nginx that this one still excuses.
   */
  async #advance(leading: Leading, position: number): Promise<void> {
    const { term } = leading;
    await term.sql`
      with saved as (
        insert into checkpoints (site, name, position) values (1, ${CHECKPOINT}, ${position})
        on conflict (site, name) do update set position = excluded.position
      )
      select pg_notify(${WATERMARK_CHANNEL}, ${String(position)})`;
    leading.position = position;
    this.#confirmed.dropUntil(position);
    this.#head = Math.max(this.#head, position);
    this.#options.watermark.advance(position);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#unlisten.map((unlisten) => unlisten()));
    await this.#changed[Symbol.asyncDispose]();
  }
}

export async function savedWatermark(sql: Sql): Promise<number> {
  const [row] = await sql<{ position: number }[]>`
    select position from checkpoints where site = 1 and name = ${CHECKPOINT}`;
  return row?.position ?? 0;
}
