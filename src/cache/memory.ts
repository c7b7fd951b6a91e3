// The cache of the embedded service: one process, so what it dropped is dropped for everybody.
import { type Answer, type Claim, type Kept, kindOf, type Lookup, type Tier } from "./backend.ts";

const MAX_KEYS = 5000;
// They are small; when there are too many, all start afresh.
const MAX_TAGS = 4 * MAX_KEYS;

type Held = Answer & { until: number };

export class MemoryTier implements Tier {
  readonly #kept = new Map<string, Held>();
  readonly #tags = new Map<string, number>();
  readonly #ttlMs: number;
  #floor = 0;

  constructor(ttlSeconds: number) {
    this.#ttlMs = ttlSeconds * 1000;
  }

  get({ key, tags }: Lookup): Promise<Kept> {
    const kept = this.#kept.get(key);
    const good = kept && kept.until > performance.now() && this.#isCurrent(tags, kept);
    return Promise.resolve({ answer: good ? kept : undefined, stamp: "" });
  }

  #isCurrent(tags: string[], { position }: Answer): boolean {
    return position >= this.#floor && tags.every((tag) => (this.#tags.get(tag) ?? 0) <= position);
  }

  put({ key, tags }: Lookup, answer: Answer): Promise<void> {
    const old = this.#kept.get(key);
    if ((!old || old.position <= answer.position) && this.#isCurrent(tags, answer)) {
      this.#kept.delete(key);
      const until = performance.now() + this.#ttlMs * (0.9 + Math.random() * 0.2);
      this.#kept.set(key, { ...answer, until });
    }
    if (this.#kept.size > MAX_KEYS) this.#forgetOldest(this.#kept);
    return Promise.resolve();
  }

  claim(): Promise<Claim> {
    return Promise.resolve({ mine: true, kept: { stamp: "" } });
  }

  drop(tags: ReadonlySet<string>, position: number): Promise<void> {
    for (const tag of tags) {
      this.#tags.set(tag, Math.max(position, this.#tags.get(tag) ?? 0));
    }
    return this.#tags.size > MAX_TAGS ? this.dropAll(position) : Promise.resolve();
  }

  /** Also what is loaded just now, of which no tag will tell. */
  dropAll(position: number): Promise<void> {
    this.#floor = Math.max(this.#floor, position);
    this.#tags.clear();
    return this.clear();
  }

  endLease(): Promise<void> {
    return this.clear();
  }

  takeOver(): void {}

  renew(): Promise<void> {
    return Promise.resolve();
  }

  wipe(kinds: string[]): Promise<void> {
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
