// Cache-aside for the answers of the read models: looked up, or loaded by one at a time.
import { setImmediate } from "node:timers";
import { type Answer, type Kept, kindOf, type Lookup, type Tier } from "./cache/tier.ts";
import type { Sql } from "./database.ts";

export type Question = Lookup & {
  /** The read model that answers, whose position the answer carries. */
  projection: string;
  load: (sql: Sql) => Promise<unknown>;
};

export type CacheCounts = { kind: string; hits: number; misses: number };

// Soon at first, as most loads take no longer; then seldom, up to half a second in all. After that,
// whoever waits loads for itself: the other may be gone.
const LOOK_AGAIN_MS = [2, 3, 4, 6, 8, 10, ...Array.from({ length: 30 }, () => 15)];

type Asked = { arrived: number; stamp: string };
type Loading = { startedAt: number; answer: Promise<Answer> };

export class Cache {
  readonly #sql: Sql;
  readonly tier: Tier;
  readonly #looking = new Map<string, Promise<Kept>>();
  readonly #loading = new Map<string, Loading>();
  readonly #counts = new Map<string, CacheCounts>();

  constructor(sql: Sql, tier: Tier) {
    this.#sql = sql;
    this.tier = tier;
  }

  async read(question: Question): Promise<Answer> {
    const arrived = performance.now();
    const { answer, stamp } = await this.#look(question);
    this.#count(question.key, answer !== undefined);
    return answer ?? await this.#missed(question, { arrived, stamp });
  }

  get counts(): CacheCounts[] {
    return [...this.#counts.values()];
  }

  // Readers of one key who come in one turn of the event loop share a look into the cache. Who comes
  // later has a look of its own: an earlier one may have been answered before a write that it knows of.
  #look(question: Question): Promise<Kept> {
    const { key } = question;
    const shared = this.#looking.get(key);
    if (shared) return shared;
    // Before the look is asked for, so that it ends before commands of this turn are sent.
    setImmediate(() => this.#looking.delete(key));
    const kept = this.tier.get(question);
    this.#looking.set(key, kept);
    return kept;
  }

  // A load that began before this reader came may be older than a write answered in between, so
  // its answer is taken only if the cache still stands behind it.
  async #missed(question: Question, asked: Asked): Promise<Answer> {
    let { stamp } = asked;
    for (let turn = this.#loading.get(question.key); turn; turn = this.#loading.get(question.key)) {
      const answer = await turn.answer;
      if (turn.startedAt >= asked.arrived) return answer;
      const kept = await this.#look(question);
      if (kept.answer) return kept.answer;
      stamp = kept.stamp;
    }
    const startedAt = performance.now();
    const answer = this.#load(question, stamp).finally(() => this.#loading.delete(question.key));
    this.#loading.set(question.key, { startedAt, answer });
    return await answer;
  }

  async #load(question: Question, stamp: string): Promise<Answer> {
    const kept = await this.#claim(question, stamp);
    if (kept.answer) return kept.answer;
    const answer = await this.#fromDatabase(question);
    await this.tier.put(question.key, answer, kept.stamp);
    return answer;
  }

  /** What another replica has loaded meanwhile; no answer where this one is to load it. */
  async #claim(question: Question, stamp: string): Promise<Kept> {
    let { mine, kept } = await this.tier.claim(question, stamp);
    for (const ms of LOOK_AGAIN_MS) {
      if (mine || kept.answer) break;
      await new Promise((done) => setTimeout(done, ms));
      ({ mine, kept } = await this.tier.claim(question, kept.stamp));
    }
    return kept;
  }

  /** The position first: rows read after it can only be newer. */
  async #fromDatabase({ projection, load }: Question): Promise<Answer> {
    const [row] = await this.#sql<{ position: number }[]>`
      select position from read.projections where name = ${projection}`;
    const data = await load(this.#sql);
    return { position: row?.position ?? 0, text: JSON.stringify(data ?? null) };
  }

  #count(key: string, hit: boolean): void {
    const kind = kindOf(key);
    const counts = this.#counts.get(kind) ?? { kind, hits: 0, misses: 0 };
    if (hit) counts.hits++;
    else counts.misses++;
    this.#counts.set(kind, counts);
  }
}
