// The cache of the embedded service: it is one process, so its invalidations reach every reader.
import {
  type CacheBackend,
  type CachedValue,
  type CacheResult,
  kindOf,
  type LoadLock,
  type Lookup,
} from "./backend.ts";

const MAX_KEYS = 5000;
// Tags are small; above this number all of them are cleared.
const MAX_TAGS = 4 * MAX_KEYS;

type MemoryEntry = CachedValue & { until: number };

export class MemoryCache implements CacheBackend {
  readonly #kept = new Map<string, MemoryEntry>();
  readonly #tags = new Map<string, number>();
  readonly #ttlMs: number;
  #floor = 0;

  constructor(ttlSeconds: number) {
    this.#ttlMs = ttlSeconds * 1000;
  }

  get({ key, tags }: Lookup): Promise<CacheResult> {
    const kept = this.#kept.get(key);
    const good = kept && kept.until > performance.now() && this.#isCurrent(tags, kept);
    return Promise.resolve({ value: good ? kept : undefined, generation: "" });
  }

  #isCurrent(tags: string[], { position }: CachedValue): boolean {
    return position >= this.#floor && tags.every((tag) => (this.#tags.get(tag) ?? 0) <= position);
  }

  put({ key, tags }: Lookup, answer: CachedValue): Promise<void> {
    const old = this.#kept.get(key);
    if ((!old || old.position <= answer.position) && this.#isCurrent(tags, answer)) {
      this.#kept.delete(key);
      const until = performance.now() + this.#ttlMs * (0.9 + Math.random() * 0.2);
      this.#kept.set(key, { ...answer, until });
    }
    if (this.#kept.size > MAX_KEYS) this.#forgetOldest(this.#kept);
    return Promise.resolve();
  }

  acquireLoadLock(): Promise<LoadLock> {
    return Promise.resolve({ acquired: true, result: { generation: "" } });
  }

  invalidate(tags: ReadonlySet<string>, position: number): Promise<void> {
    for (const tag of tags) {
      this.#tags.set(tag, Math.max(position, this.#tags.get(tag) ?? 0));
    }
    return this.#tags.size > MAX_TAGS ? this.invalidateAll(position) : Promise.resolve();
  }

  /** Includes values that are being loaded, which no tag covers. */
  invalidateAll(position: number): Promise<void> {
    this.#floor = Math.max(this.#floor, position);
    this.#tags.clear();
    return this.clear();
  }

  endLease(): Promise<void> {
    return this.clear();
  }

  takeOver(): void {}

  renewLease(): Promise<void> {
    return Promise.resolve();
  }

  purgeKinds(kinds: string[]): Promise<void> {
    for (const key of this.#kept.keys()) if (kinds.includes(kindOf(key))) this.#kept.delete(key);
    return Promise.resolve();
  }

  clear(): Promise<void> {
    this.#kept.clear();
    return Promise.resolve();
  }

  keys(): Promise<{ kind: string; count: number }[]> {
    const groups = Map.groupBy(this.#kept.keys(), kindOf);
    return Promise.resolve([...groups].map(([kind, keys]) => ({ kind, count: keys.length })));
  }

  healthy(): boolean {
    return true;
  }

  #forgetOldest(map: Map<string, unknown>): void {
    const oldest = map.keys().next();
    if (!oldest.done) map.delete(oldest.value);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
