// One loader a key at a time, across replicas.
import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type CachedQuery, ReadThroughCache } from "$src/cache/read_through.ts";
import type { CacheBackend } from "$src/cache/backend.ts";
import { openPlace, type Place, type Replica } from "../support/service.ts";
import { report } from "../support/report.ts";
import { waitFor } from "../support/until.ts";

const READERS = 20;
const KEYS = 100;
const ROUNDS = 20;

describe("two replicas that miss the same key", () => {
  const closing = new AsyncDisposableStack();
  const replicas: Replica[] = [];
  let place: Place;

  before(async () => {
    place = closing.use(await openPlace());
    for (let i = 0; i < 2; i++) replicas.push(closing.use(await place.open()));
    for (const { services: { cache } } of replicas) {
      await waitFor(async () =>
        (await cache.backend.get({ key: "none", tags: [] })).generation !== ""
      );
    }
  });
  after(() => closing.disposeAsync());

  const tierOf = (i: number) => replicas[i]?.services.cache.backend as CacheBackend;
  const cacheOf = (i: number, tier = tierOf(i)) => {
    if (!replicas[i]) throw new Error("two replicas were opened");
    return new ReadThroughCache(replicas[i].services.sql, tier);
  };

  function counted(key: string): { question: CachedQuery; loads: () => number } {
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

  const openings = () =>
    replicas.reduce((sum, { services: { redis } }) => sum + (redis?.breakerTrips ?? 0), 0);

  async function loadsOf(key: string): Promise<number> {
    const caches = [cacheOf(0), cacheOf(1)];
    const { question, loads } = counted(key);
    await Promise.all(Array.from({ length: READERS }, async (_, i) => {
      await new Promise((done) => setTimeout(done, Math.random() * 4));
      await caches[i % 2]?.read(question);
    }));
    return loads();
  }

  /** Where Redis is given up, each replica loads for itself: such a round says nothing of the others. */
  async function calmly(work: (round: number) => Promise<number>): Promise<number> {
    for (let round = 0; round < ROUNDS; round++) {
      await waitFor(() => replicas.every(({ services: { redis } }) => redis?.isAvailable));
      const before = openings();
      const result = await work(round);
      if (openings() === before) return result;
    }
    throw new Error(`Redis was given up in each of ${ROUNDS} rounds`);
  }

  it("load each of many keys once", async () => {
    const all: string[] = [];
    const given = openings();
    for (let n = 0; n < KEYS; n++) {
      const loads = await calmly((round) => loadsOf(`loader:${n}:${round}`));
      if (loads !== 1) all.push(`${n}: ${loads} times`);
    }
    report(`one load a key: ${KEYS} keys, Redis given up ${openings() - given} times meanwhile`);
    assertEquals(all, []);
  });
});

function withClaimAfter(moment: Promise<void>, tier: CacheBackend): CacheBackend {
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
