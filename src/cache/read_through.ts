// Cache-aside for query results of the read models: on a miss, one reader at a time loads a key.
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
  /** The read model that is queried; the value carries its position. */
  projection: string;
  load: (sql: Sql) => Promise<unknown>;
};

export type CacheCounts = { kind: string; hits: number; misses: number };

// Short intervals at first, as most loads take no longer; then long ones, up to half a second in
// all. After that a waiting process loads the key itself: the lock's holder may be gone.
const LOCK_RETRY_MS = [2, 3, 4, 6, 8, 10, ...Array.from({ length: 30 }, () => 15)];

// A statement may take 15 s, a tag lives for more than a minute longer than a value.
const LONGEST_LOAD_MS = 20_000;

/** `next` is shared by readers who came after this lookup was sent. */
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

  constructor(sql: Sql, backend: CacheBackend) {
    this.#sql = sql;
    this.backend = backend;
  }

  async read(query: CachedQuery): Promise<CachedValue> {
    const arrived = this.#loads;
    const { value, generation } = await this.#look(query);
    this.#count(query.key, value !== undefined);
    return value ?? await this.#missed(query, { arrived, generation });
  }

  get counts(): CacheCounts[] {
    return [...this.#counts.values()];
  }

  // Readers of one key share a lookup until it is sent. Later readers share the next one: the first
  // may have been answered before a write that they know of. The next is sent when the first is
  // answered, so that the higher the load, the more readers share one.
  #look(query: CachedQuery): Promise<CacheResult> {
    const look = this.#looking.get(query.key);
    if (look === undefined) return this.#begin(query);
    if (!look.sent) return look.kept;
    const begin = () => this.#begin(query);
    return look.next ??= look.kept.then(begin, begin);
  }

  #begin(query: CachedQuery): Promise<CacheResult> {
    // Scheduled before the lookup, so that sharing ends before the commands of this turn are sent.
    setImmediate(() => look.sent = true);
    const look: PendingLookup = { kept: this.backend.get(query), sent: false };
    this.#looking.set(query.key, look);
    const end = () => {
      if (look.next === undefined) this.#looking.delete(query.key);
    };
    look.kept.then(end, end);
    return look.kept;
  }

  // A load that began before this reader came may be older than a write answered in between. Its
  // value is used only if the cache still holds it as valid.
  async #missed(query: CachedQuery, arrival: Arrival): Promise<CachedValue> {
    let { generation } = arrival;
    for (let load = this.#loading.get(query.key); load; load = this.#loading.get(query.key)) {
      const answer = await load.answer;
      if (load.began > arrival.arrived) return answer;
      const kept = await this.#look(query);
      if (kept.value) return kept.value;
      generation = kept.generation;
    }
    const began = ++this.#loads;
    const answer = this.#load(query, generation).finally(() => this.#loading.delete(query.key));
    this.#loading.set(query.key, { began, answer });
    return await answer;
  }

  async #load(query: CachedQuery, generation: string): Promise<CachedValue> {
    const kept = await this.#acquire(query, generation);
    if (kept.value) return kept.value;
    const began = performance.now();
    const answer = await this.#fromDatabase(query);
    // A tag is forgotten some time after its last change. A process that was frozen for longer than a load
    // may take must not store a value that no tag contradicts any more.
    if (performance.now() - began < LONGEST_LOAD_MS) {
      await this.backend.put(query, answer, kept.generation);
    }
    return answer;
  }

  /** The value that another replica has loaded meanwhile; none where this one must load it. */
  async #acquire(query: CachedQuery, generation: string): Promise<CacheResult> {
    let { acquired, result } = await this.backend.acquireLoadLock(query, generation);
    for (const ms of LOCK_RETRY_MS) {
      if (acquired || result.value) break;
      await new Promise((done) => setTimeout(done, ms));
      ({ acquired, result } = await this.backend.acquireLoadLock(query, result.generation));
    }
    return result;
  }

  /** Reads the position first: rows read after it can only be newer. */
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
