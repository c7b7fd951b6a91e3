// Concurrent reads share a cache lookup, but never one that was sent before the read began.
import { assertEquals } from "@std/assert";
import { after, describe, it } from "@std/testing/bdd";
import { setImmediate } from "node:timers";
import { type CachedQuery, ReadThroughCache } from "$src/cache/read_through.ts";
import { NullCache } from "$src/cache/none.ts";
import type { CacheResult } from "$src/cache/backend.ts";
import { connect } from "$src/connections/postgres.ts";

/** Answers when the test says so. */
class HeldBackend extends NullCache {
  readonly lookups: ((text: string) => void)[] = [];

  override get(): Promise<CacheResult> {
    const { promise, resolve } = Promise.withResolvers<CacheResult>();
    this.lookups.push((text) => resolve({ value: { position: 1, text }, generation: "one" }));
    return promise;
  }
}

const turn = () => new Promise((done) => setImmediate(() => done(undefined)));

describe("cache lookups", () => {
  // Never called, as every lookup finds a value.
  const sql = connect("postgres://nobody@127.0.0.1:1/none", { max: 1 });
  after(() => sql.end());
  const load = () => Promise.reject(new Error("nothing is to be loaded"));
  const query: CachedQuery = { key: "look:1", tags: [], projection: "items", load };

  it("are shared by reads that begin before the lookup is sent, and by none that begin later", async () => {
    const backend = new HeldBackend();
    const cache = new ReadThroughCache(sql, backend);
    const early = [cache.read(query), cache.read(query)];
    assertEquals(backend.lookups.length, 1);
    await turn();
    const late = [cache.read(query), cache.read(query)];
    await turn();
    assertEquals(backend.lookups.length, 1, "the next lookup is sent when this one is answered");
    backend.lookups[0]?.("before a write");
    assertEquals(
      (await Promise.all(early)).map(({ text }) => text),
      Array(2).fill("before a write"),
    );
    await turn();
    assertEquals(backend.lookups.length, 2);
    backend.lookups[1]?.("after it");
    assertEquals((await Promise.all(late)).map(({ text }) => text), Array(2).fill("after it"));
    const last = cache.read(query);
    assertEquals(backend.lookups.length, 3, "nothing is left over");
    backend.lookups[2]?.("later");
    assertEquals((await last).text, "later");
  });
});
