// What every cache behind the reads promises, in Redis or in memory.

/** An answer as JSON text, and the position of the log it was worked out at. */
export type CachedValue = { position: number; text: string };

export type Lookup = { key: string; tags: string[] };

/** `generation` says what the cache was when it was asked; an answer loaded since then is put under it. */
export type CacheResult = { value?: CachedValue; generation: string };

export type LoadLock = { acquired: boolean; result: CacheResult };

export type CacheBackend = AsyncDisposable & {
  /** The kept answer, unless one of its tags changed after it was worked out. */
  get(lookup: Lookup): Promise<CacheResult>;
  /** Keeps an answer, unless a newer one is kept or one of its tags has changed since. */
  put(lookup: Lookup, answer: CachedValue, generation: string): Promise<void>;
  /**
   * `mine` for the one process that is to load a key just now; the others claim it again soon. What
   * is kept is looked up after the claim: another may have loaded it, and gone, since the last look.
   * While nothing can be kept there is nothing to look for, and everybody loads.
   */
  acquireLoadLock(lookup: Lookup, generation: string): Promise<LoadLock>;
  /**
   * From here on, answers with these tags from before this position are not believed. Any process may
   * call it; it fails where the cache cannot be reached.
   */
  invalidate(tags: ReadonlySet<string>, position: number): Promise<void>;
  /** In place of a drop that failed, by the leader alone: nothing kept so far is believed any more. */
  endLease(): Promise<void>;
  /** The same for every answer, whatever its tags. */
  invalidateAll(position: number): Promise<void>;
  /** Called by a process that is from now on the leader. */
  takeOver(): void;
  /** Called all the while by the leader, as long as nothing waits to be dropped by it. */
  renewLease(): Promise<void>;
  /** Takes the bytes of these kinds of answers away, also of those not believed any more. */
  purgeKinds(kinds: string[]): Promise<void>;
  /** Forgets everything that was kept, at once. */
  clear(): Promise<void>;
  keys(): Promise<{ kind: string; count: number }[]>;
  healthy(): boolean;
};

export function kindOf(key: string): string {
  return key.split(":", 1)[0] ?? key;
}
