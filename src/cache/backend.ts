// The contract of every cache behind the reads, in Redis or in memory.

/** A query result as JSON text, and the position of the log it was computed at. */
export type CachedValue = { position: number; text: string };

export type Lookup = { key: string; tags: string[] };

/** `generation` names the lease at the time of the lookup; a value loaded after it is stored under it. */
export type CacheResult = { value?: CachedValue; generation: string };

export type LoadLock = { acquired: boolean; result: CacheResult };

export type CacheBackend = AsyncDisposable & {
  /** The cached value, unless one of its tags changed after it was computed. */
  get(lookup: Lookup): Promise<CacheResult>;
  /** Stores a value, unless a newer one is stored or one of its tags has changed since. */
  put(lookup: Lookup, answer: CachedValue, generation: string): Promise<void>;
  /**
   * `acquired` is true for the one process that loads the key now; the others try again soon. The
   * lookup comes after the lock: another process may have loaded the key and released the lock
   * since the last lookup. While nothing can be cached, there is no lookup and every process loads.
   */
  acquireLoadLock(lookup: Lookup, generation: string): Promise<LoadLock>;
  /**
   * Makes values with these tags from before this position invalid. Any process may call it; it
   * rejects when the cache is unreachable.
   */
  invalidate(tags: ReadonlySet<string>, position: number): Promise<void>;
  /** Called by the leader alone, in place of a failed invalidation: makes every stored value invalid. */
  endLease(): Promise<void>;
  /** Makes every value from before this position invalid, whatever its tags. */
  invalidateAll(position: number): Promise<void>;
  /** Called by a process that has just become the leader. */
  takeOver(): void;
  /** Called continuously by the leader while it has no invalidation left to do. */
  renewLease(): Promise<void>;
  /** Deletes the bytes of these kinds of values, including invalid ones. */
  purgeKinds(kinds: string[]): Promise<void>;
  /** Deletes every stored value at once. */
  clear(): Promise<void>;
  keys(): Promise<{ kind: string; count: number }[]>;
  healthy(): boolean;
};

export function kindOf(key: string): string {
  return key.split(":", 1)[0] ?? key;
}
