// No Redis beside a real PostgreSQL: several processes could serve each other's past, so nothing is
// kept at all.
import type { Claim, Kept, Tier } from "./backend.ts";

export class NoTier implements Tier {
  get(): Promise<Kept> {
    return Promise.resolve({ stamp: "" });
  }
  async put(): Promise<void> {}
  claim(): Promise<Claim> {
    return Promise.resolve({ mine: true, kept: { stamp: "" } });
  }
  async drop(): Promise<void> {}
  async endLease(): Promise<void> {}
  async dropAll(): Promise<void> {}
  takeOver(): void {}
  async renew(): Promise<void> {}
  async wipe(): Promise<void> {}
  async clear(): Promise<void> {}
  keys(): Promise<{ kind: string; count: number }[]> {
    return Promise.resolve([]);
  }
  healthy(): boolean {
    return true;
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}
