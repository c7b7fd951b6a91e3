// Caches nothing: without Redis, several processes on one PostgreSQL could each serve values that
// another has made stale.
import type { CacheBackend, CacheResult, LoadLock } from "./backend.ts";

export class NullCache implements CacheBackend {
  get(): Promise<CacheResult> {
    return Promise.resolve({ generation: "" });
  }
  async put(): Promise<void> {}
  acquireLoadLock(): Promise<LoadLock> {
    return Promise.resolve({ acquired: true, result: { generation: "" } });
  }
  async invalidate(): Promise<void> {}
  async endLease(): Promise<void> {}
  async invalidateAll(): Promise<void> {}
  takeOver(): void {}
  async renewLease(): Promise<void> {}
  async purgeKinds(): Promise<void> {}
  async clear(): Promise<void> {}
  keys(): Promise<{ kind: string; count: number }[]> {
    return Promise.resolve([]);
  }
  healthy(): boolean {
    return true;
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}
