// Cache-aside for the answers of the read models: looked up, or loaded by one at a time.
import { setImmediate } from "node:timers";
import { type Answer, type Kept, kindOf, type Lookup, type Tier } from "./backend.ts";
import type { Sql } from "../connections/postgres.ts";

export type Question = Lookup & {
  /** The read model that answers, whose position the answer carries. */
  projection: string;
  load: (sql: Sql) => Promise<unknown>;
};

export type CacheCounts = { kind: string; hits: number; misses: number };

// Soon at first, as most loads take no longer; then seldom, up to half a second in all. After that,
// whoever waits loads for itself: the other may be gone.
const LOOK_AGAIN_MS = [2, 3, 4, 6, 8, 10, ...Array.from({ length: 30 }, () => 15)];

/** `next` is the look of those who came after this one was sent. */
type Look = { kept: Promise<Kept>; sent: boolean; next?: Promise<Kept> };
type Asked = { arrived: number; stamp: string };
type Loading = { began: number; answer: Promise<Answer> };

export class Cache {
  readonly #sql: Sql;
  readonly tier: Tier;
  readonly #looking = new Map<string, Look>();
  readonly #loading = new Map<string, Loading>();
  readonly #counts = new Map<string, CacheCounts>();
  /** How many loads have begun: tells whether one began before a reader came. */
  #loads = 0;

  constructor(sql: Sql, tier: Tier) {
    this.#sql = sql;
    this.tier = tier;
  }

  async read(question: Question): Promise<Answer> {
    const arrived = this.#loads;
    const { answer, stamp } = await this.#look(question);
    this.#count(question.key, answer !== undefined);
    return answer ?? await this.#missed(question, { arrived, stamp });
  }

  get counts(): CacheCounts[] {
    return [...this.#counts.values()];
  }

  // Readers of one key who come before a look into the cache is sent share it. Who comes later shares
  // the next one: this one may have been answered before a write that they know of. The next is sent
  // when this one is answered, so that the busier it is, the more share one.
  #look(question: Question): Promise<Kept> {
    const look = this.#looking.get(question.key);
    if (look === undefined) return this.#begin(question);
    if (!look.sent) return look.kept;
    const begin = () => this.#begin(question);
    return look.next ??= look.kept.then(begin, begin);
  }

  #begin(question: Question): Promise<Kept> {
    // Before the look is asked for, so that it closes before commands of this turn are sent.
    setImmediate(() => look.sent = true);
    const look: Look = { kept: this.tier.get(question), sent: false };
    this.#looking.set(question.key, look);
    const end = () => {
      if (look.next === undefined) this.#looking.delete(question.key);
    };
    look.kept.then(end, end);
    return look.kept;
  }

  // A load that began before this reader came may be older than a write answered in between, so
  // its answer is taken only if the cache still stands behind it.
  async #missed(question: Question, asked: Asked): Promise<Answer> {
    let { stamp } = asked;
    for (let turn = this.#loading.get(question.key); turn; turn = this.#loading.get(question.key)) {
      const answer = await turn.answer;
      if (turn.began > asked.arrived) return answer;
      const kept = await this.#look(question);
      if (kept.answer) return kept.answer;
      stamp = kept.stamp;
    }
    const began = ++this.#loads;
    const answer = this.#load(question, stamp).finally(() => this.#loading.delete(question.key));
    this.#loading.set(question.key, { began, answer });
    return await answer;
  }

  async #load(question: Question, stamp: string): Promise<Answer> {
    const kept = await this.#claim(question, stamp);
    if (kept.answer) return kept.answer;
    const answer = await this.#fromDatabase(question);
    await this.tier.put(question, answer, kept.stamp);
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
