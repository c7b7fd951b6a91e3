import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryCache } from "$src/cache/memory.ts";

describe("answers kept in memory", () => {
  const lookup = { key: "items:1", tags: ["item:1"] };
  const textOf = async (tier: MemoryCache) => (await tier.get(lookup)).value?.text;

  it("are believed until one of their tags changes", async () => {
    const tier = new MemoryCache(60);
    await tier.put(lookup, { position: 5, text: "old" });
    await tier.invalidate(new Set(["item:2"]), 6);
    assertEquals(await textOf(tier), "old");
    await tier.invalidate(new Set(["item:1"]), 7);
    assertEquals(await textOf(tier), undefined);
  });

  it("are not believed once all was dropped, nor what was loaded before and comes late", async () => {
    const tier = new MemoryCache(60);
    await tier.put(lookup, { position: 5, text: "old" });
    await tier.invalidateAll(7);
    assertEquals(await textOf(tier), undefined);
    await tier.put(lookup, { position: 6, text: "late" });
    assertEquals(await textOf(tier), undefined);
    await tier.put(lookup, { position: 7, text: "new" });
    assertEquals(await textOf(tier), "new");
  });

  it("are kept on, however many things have changed", async () => {
    const tier = new MemoryCache(60);
    for (let n = 1; n <= 30_000; n++) await tier.invalidate(new Set([`entry:${n}`]), n);
    await tier.put(lookup, { position: 30_000, text: "new" });
    for (let n = 1; n <= 100; n++) await tier.invalidate(new Set([`user:${n}`]), 30_000 + n);
    assertEquals(await textOf(tier), "new");
  });
});
