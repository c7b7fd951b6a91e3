// Values that Redis stored before a missed change belong to an older generation and are never served
// again, even where no tag names the change because the invalidation never reached Redis.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { RedisClient } from "$src/connections/redis.ts";
import { LEASE_MS, RedisCache } from "$src/cache/redis.ts";
import { openPlace, type Place } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

const lookup = { key: "items:1", tags: ["item:1"] };
const tags = new Set(lookup.tags);

describe("a cached value of an older generation", () => {
  let place: Place;
  let backend: RedisCache;
  before(async () => {
    place = await openPlace();
    const url = place.redis?.url ?? "";
    const links = { client: new RedisClient(url), invalidationClient: new RedisClient(url) };
    backend = new RedisCache(links, { ttlSeconds: 60, secret: "a secret of tests" });
    backend.takeOver();
  });
  after(async () => {
    await backend[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
  });

  /** The generation that Redis serves now. */
  function currentGeneration(): Promise<string> {
    return waitFor(async () => {
      await backend.renewLease();
      return (await backend.get(lookup)).generation || false;
    });
  }

  async function store(position: number): Promise<void> {
    await backend.put(lookup, { position, text: `at ${position}` }, await currentGeneration());
    await waitFor(async () => {
      await currentGeneration();
      return (await backend.get(lookup)).value?.text === `at ${position}`;
    });
  }

  it("is not served after Redis was paused during the change", async () => {
    await store(5);
    await place.redis?.part.pause();
    await assertRejects(() => backend.invalidate(tags, 6));
    await backend.endLease();
    await place.redis?.part.resume();
    await currentGeneration();
    assertEquals((await backend.get(lookup)).value, undefined);
  });

  it("is not served after invalidateAll(), which does not wait for a lease to end", async () => {
    await store(6);
    const generation = await currentGeneration();
    const started = performance.now();
    await backend.invalidateAll();
    assert(performance.now() - started < LEASE_MS / 2);
    assertEquals((await backend.get(lookup)).value, undefined);
    await currentGeneration();
    // Loaded before invalidateAll(), stored after it.
    await backend.put(lookup, { position: 9, text: "late" }, generation);
    assertEquals((await backend.get(lookup)).value, undefined);
    await store(9);
  });

  it("is not served after invalidateAll() while Redis was paused", async () => {
    await store(9);
    await place.redis?.part.pause();
    await backend.invalidateAll();
    await place.redis?.part.resume();
    await currentGeneration();
    assertEquals((await backend.get(lookup)).value, undefined);
  });

  it("is not served under the next leader", async () => {
    await store(7);
    backend.takeOver();
    await new Promise((done) => setTimeout(done, LEASE_MS));
    await currentGeneration();
    assertEquals((await backend.get(lookup)).value, undefined);
  });

  it("is not stored where one of its tags has a later position, since it may hold erased text", async () => {
    await store(20);
    await backend.invalidate(tags, 30);
    await place.redis?.link.del(`tallybook:v:${lookup.key}`);
    await backend.put(
      lookup,
      { position: 29, text: "erased meanwhile" },
      await currentGeneration(),
    );
    assertEquals(await place.redis?.link.exists(`tallybook:v:${lookup.key}`), 0);
    await store(30);
  });
});
