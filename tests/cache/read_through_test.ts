// Looks into the cache are shared, but never one that was sent before its reader came.
import { assertEquals } from "@std/assert";
import { after, describe, it } from "@std/testing/bdd";
import { setImmediate } from "node:timers";
import { type CachedQuery, ReadThroughCache } from "$src/cache/read_through.ts";
import { NullCache } from "$src/cache/none.ts";
import type { CacheResult } from "$src/cache/backend.ts";
import { connect } from "$src/connections/postgres.ts";

/** Answers when the test says so. */
class HeldTier extends NullCache {
  readonly looks: ((text: string) => void)[] = [];

  override get(): Promise<CacheResult> {
    const { promise, resolve } = Promise.withResolvers<CacheResult>();
    this.looks.push((text) => resolve({ value: { position: 1, text }, generation: "one" }));
    return promise;
  }
}

const turn = () => new Promise((done) => setImmediate(() => done(undefined)));

describe("looks into the cache", () => {
  // Never asked, as everything is found.
  const sql = connect("postgres://nobody@127.0.0.1:1/none", { max: 1 });
  after(() => sql.end());
  const load = () => Promise.reject(new Error("nothing is to be loaded"));
  const question: CachedQuery = { key: "look:1", tags: [], projection: "items", load };

  it("are shared by those who come before one is sent, and never by who comes later", async () => {
    const tier = new HeldTier();
    const cache = new ReadThroughCache(sql, tier);
    const early = [cache.read(question), cache.read(question)];
    assertEquals(tier.looks.length, 1);
    await turn();
    const late = [cache.read(question), cache.read(question)];
    await turn();
    assertEquals(tier.looks.length, 1, "the next look is sent when this one is answered");
    tier.looks[0]?.("before a write");
    assertEquals(
      (await Promise.all(early)).map(({ text }) => text),
      Array(2).fill("before a write"),
    );
    await turn();
    assertEquals(tier.looks.length, 2);
    tier.looks[1]?.("after it");
    assertEquals((await Promise.all(late)).map(({ text }) => text), Array(2).fill("after it"));
    const last = cache.read(question);
    assertEquals(tier.looks.length, 3, "nothing is left over");
    tier.looks[2]?.("later");
    assertEquals((await last).text, "later");
  });
});
