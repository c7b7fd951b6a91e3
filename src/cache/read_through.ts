// Cache-aside for the answers of the read models: looked up, or loaded by one at a time.
import { setImmediate } from "node:timers";
import {
  type CacheBackend,
  type CachedValue,
  type CacheResult,
  kindOf,
  type Lookup,
} from "./backend.ts";
import type { Sql } from "../connections/postgres.ts";

export type CachedQuery = Lookup & {
  /** The read model that answers, whose position the answer carries. */
  projection: string;
  load: (sql: Sql) => Promise<unknown>;
};

export type CacheCounts = { kind: string; hits: number; misses: number };

// Soon at first, as most loads take no longer; then seldom, up to half a second in all. After that,
// whoever waits loads for itself: the other may be gone.
const LOOK_AGAIN_MS = [2, 3, 4, 6, 8, 10, ...Array.from({ length: 30 }, () => 15)];

/** `next` is the look of those who came after this one was sent. */
type PendingLookup = { kept: Promise<CacheResult>; sent: boolean; next?: Promise<CacheResult> };
type Arrival = { arrived: number; generation: string };
type Loading = { began: number; answer: Promise<CachedValue> };

export class ReadThroughCache {
  readonly #sql: Sql;
  readonly backend: CacheBackend;
  readonly #looking = new Map<string, PendingLookup>();
  readonly #loading = new Map<string, Loading>();
  readonly #counts = new Map<string, CacheCounts>();
  /** How many loads have begun: tells whether one began before a reader came. */
  #loads = 0;

  constructor(sql: Sql, tier: CacheBackend) {
    this.#sql = sql;
    this.backend = tier;
  }

  async read(question: CachedQuery): Promise<CachedValue> {
    const arrived = this.#loads;
    const { value, generation } = await this.#look(question);
    this.#count(question.key, value !== undefined);
    return value ?? await this.#missed(question, { arrived, generation });
  }

  get counts(): CacheCounts[] {
    return [...this.#counts.values()];
  }

  // Readers of one key who come before a look into the cache is sent share it. Who comes later shares
  // the next one: this one may have been answered before a write that they know of. The next is sent
  // when this one is answered, so that the busier it is, the more share one.
  #look(question: CachedQuery): Promise<CacheResult> {
    const look = this.#looking.get(question.key);
    if (look === undefined) return this.#begin(question);
    if (!look.sent) return look.kept;
    const begin = () => this.#begin(question);
    return look.next ??= look.kept.then(begin, begin);
  }

  #begin(question: CachedQuery): Promise<CacheResult> {
    // Before the look is asked for, so that it closes before commands of this turn are sent.
    setImmediate(() => look.sent = true);
    const look: PendingLookup = { kept: this.backend.get(question), sent: false };
    this.#looking.set(question.key, look);
    const end = () => {
      if (look.next === undefined) this.#looking.delete(question.key);
    };
    look.kept.then(end, end);
    return look.kept;
  }

  // A load that began before this reader came may be older than a write answered in between, so
  // its answer is taken only if the cache still stands behind it.
  async #missed(question: CachedQuery, asked: Arrival): Promise<CachedValue> {
    let { generation } = asked;
    for (let turn = this.#loading.get(question.key); turn; turn = this.#loading.get(question.key)) {
      const answer = await turn.answer;
      if (turn.began > asked.arrived) return answer;
      const kept = await this.#look(question);
      if (kept.value) return kept.value;
      generation = kept.generation;
    }
    const began = ++this.#loads;
    const answer = this.#load(question, generation).finally(() =>
      this.#loading.delete(question.key)
    );
    this.#loading.set(question.key, { began, answer });
    return await answer;
  }

  async #load(question: CachedQuery, generation: string): Promise<CachedValue> {
    const kept = await this.#claim(question, generation);
    if (kept.value) return kept.value;
    const answer = await this.#fromDatabase(question);
    await this.backend.put(question, answer, kept.generation);
    return answer;
  }

  /** What another replica has loaded meanwhile; no answer where this one is to load it. */
  async #claim(question: CachedQuery, generation: string): Promise<CacheResult> {
    let { acquired, result } = await this.backend.acquireLoadLock(question, generation);
    for (const ms of LOOK_AGAIN_MS) {
      if (acquired || result.value) break;
      await new Promise((done) => setTimeout(done, ms));
      ({ acquired, result } = await this.backend.acquireLoadLock(question, result.generation));
    }
    return result;
  }

  /** The position first: rows read after it can only be newer. */
  async #fromDatabase({ projection, load }: CachedQuery): Promise<CachedValue> {
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
