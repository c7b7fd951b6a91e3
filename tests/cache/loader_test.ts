// One loader a key at a time, across replicas.
import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { Cache, type Question } from "$src/cache.ts";
import type { Tier } from "$src/cache/tier.ts";
import { openPlace, type Place, type Replica } from "../support/service.ts";
import { until } from "../support/until.ts";

const READERS = 20;
const KEYS = 100;

describe("two replicas that miss the same key", () => {
  const closing = new AsyncDisposableStack();
  const replicas: Replica[] = [];
  let place: Place;

  before(async () => {
    place = closing.use(await openPlace());
    for (let i = 0; i < 2; i++) replicas.push(closing.use(await place.open()));
    for (const { services: { cache } } of replicas) {
      await until(async () => (await cache.tier.get({ key: "none", tags: [] })).stamp !== "");
    }
  });
  after(() => closing.disposeAsync());

  const tierOf = (i: number) => replicas[i]?.services.cache.tier as Tier;
  const cacheOf = (i: number, tier = tierOf(i)) => {
    if (!replicas[i]) throw new Error("two replicas were opened");
    return new Cache(replicas[i].services.sql, tier);
  };

  function counted(key: string): { question: Question; loads: () => number } {
    let loads = 0;
    const load = () => Promise.resolve(++loads);
    return { question: { key, tags: [], projection: "items", load }, loads: () => loads };
  }

  it("the one that is late to claim it finds what the other has put there", async () => {
    const { question, loads } = counted("loader:late");
    const first = Promise.withResolvers<void>();
    const late = cacheOf(1, withClaimAfter(first.promise, tierOf(1))).read(question);
    const early = await cacheOf(0).read(question);
    first.resolve();
    assertEquals([(await late).text, early.text, loads()], ["1", "1", 1]);
    assertEquals(await place.redis?.link.exists("tallybook:l:loader:late"), 0, "given back");
  });

  it("load each of many keys once", async () => {
    const caches = [cacheOf(0), cacheOf(1)];
    const all: string[] = [];
    for (let n = 0; n < KEYS; n++) {
      const { question, loads } = counted(`loader:${n}`);
      await Promise.all(Array.from({ length: READERS }, async (_, i) => {
        await new Promise((done) => setTimeout(done, Math.random() * 4));
        await caches[i % 2]?.read(question);
      }));
      if (loads() !== 1) all.push(`${question.key} ${loads()} times`);
    }
    assertEquals(all, []);
  });
});

function withClaimAfter(moment: Promise<void>, tier: Tier): Tier {
  return new Proxy(tier, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      if (name !== "claim") return value.bind(target);
      return async (...args: unknown[]) => {
        await moment;
        return await value.apply(target, args);
      };
    },
  });
}
