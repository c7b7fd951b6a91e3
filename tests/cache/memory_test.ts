import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { MemoryCache } from "$src/cache/memory.ts";

describe("values in MemoryCache", () => {
  const lookup = { key: "items:1", tags: ["item:1"] };
  const textOf = async (backend: MemoryCache) => (await backend.get(lookup)).value?.text;

  it("are served until one of their tags changes", async () => {
    const backend = new MemoryCache(60);
    await backend.put(lookup, { position: 5, text: "old" });
    await backend.invalidate(new Set(["item:2"]), 6);
    assertEquals(await textOf(backend), "old");
    await backend.invalidate(new Set(["item:1"]), 7);
    assertEquals(await textOf(backend), undefined);
  });

  it("are not served after invalidateAll(), nor are values loaded before it and stored late", async () => {
    const backend = new MemoryCache(60);
    await backend.put(lookup, { position: 5, text: "old" });
    await backend.invalidateAll(7);
    assertEquals(await textOf(backend), undefined);
    await backend.put(lookup, { position: 6, text: "late" });
    assertEquals(await textOf(backend), undefined);
    await backend.put(lookup, { position: 7, text: "new" });
    assertEquals(await textOf(backend), "new");
  });

  it("stay cached however many unrelated tags change", async () => {
    const backend = new MemoryCache(60);
    for (let n = 1; n <= 30_000; n++) await backend.invalidate(new Set([`entry:${n}`]), n);
    await backend.put(lookup, { position: 30_000, text: "new" });
    for (let n = 1; n <= 100; n++) await backend.invalidate(new Set([`user:${n}`]), 30_000 + n);
    assertEquals(await textOf(backend), "new");
  });
});
