// What Redis held before something was changed behind its back is of an older generation, and never
// believed again: also where no tag says what was changed, because the drop never reached it.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { RedisClient } from "$src/connections/redis.ts";
import { LEASE_MS, RedisCache } from "$src/cache/redis.ts";
import { openPlace, type Place } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

const lookup = { key: "items:1", tags: ["item:1"] };
const tags = new Set(lookup.tags);

describe("an answer of an older generation", () => {
  let place: Place;
  let tier: RedisCache;
  before(async () => {
    place = await openPlace();
    const url = place.redis?.url ?? "";
    const links = { client: new RedisClient(url), invalidationClient: new RedisClient(url) };
    tier = new RedisCache(links, { ttlSeconds: 60, secret: "a secret of tests" });
    tier.takeOver();
  });
  after(async () => {
    await tier[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
  });

  /** The stamp under which Redis is believed now. */
  function inUse(): Promise<string> {
    return waitFor(async () => {
      await tier.renewLease();
      return (await tier.get(lookup)).generation || false;
    });
  }

  async function keep(position: number): Promise<void> {
    await tier.put(lookup, { position, text: `at ${position}` }, await inUse());
    await waitFor(async () => {
      await inUse();
      return (await tier.get(lookup)).value?.text === `at ${position}`;
    });
  }

  it("is not believed after Redis slept through the change", async () => {
    await keep(5);
    await place.redis?.part.pause();
    await assertRejects(() => tier.invalidate(tags, 6));
    await tier.endLease();
    await place.redis?.part.resume();
    await inUse();
    assertEquals((await tier.get(lookup)).value, undefined);
  });

  it("is not believed once all was dropped, and nobody waits for a lease to end", async () => {
    await keep(6);
    const stamp = await inUse();
    const started = performance.now();
    await tier.invalidateAll();
    assert(performance.now() - started < LEASE_MS / 2);
    assertEquals((await tier.get(lookup)).value, undefined);
    await inUse();
    // Loaded before, and put late.
    await tier.put(lookup, { position: 9, text: "late" }, stamp);
    assertEquals((await tier.get(lookup)).value, undefined);
    await keep(9);
  });

  it("is not believed once all was dropped while Redis slept", async () => {
    await keep(9);
    await place.redis?.part.pause();
    await tier.invalidateAll();
    await place.redis?.part.resume();
    await inUse();
    assertEquals((await tier.get(lookup)).value, undefined);
  });

  it("is not believed by the next leader", async () => {
    await keep(7);
    tier.takeOver();
    await new Promise((done) => setTimeout(done, LEASE_MS));
    await inUse();
    assertEquals((await tier.get(lookup)).value, undefined);
  });

  it("is not stored at all where one of its tags has moved past it: it may hold erased text", async () => {
    await keep(20);
    await tier.invalidate(tags, 30);
    await place.redis?.link.del(`tallybook:v:${lookup.key}`);
    await tier.put(lookup, { position: 29, text: "erased meanwhile" }, await inUse());
    assertEquals(await place.redis?.link.exists(`tallybook:v:${lookup.key}`), 0);
    await keep(30);
  });
});
