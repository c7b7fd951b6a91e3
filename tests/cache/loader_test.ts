// At most one load of a key at a time, across replicas.
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

  const backendOf = (i: number) => replicas[i]?.services.cache.backend as CacheBackend;
  const cacheOf = (i: number, backend = backendOf(i)) => {
    if (!replicas[i]) throw new Error("two replicas were opened");
    return new ReadThroughCache(replicas[i].services.sql, backend);
  };

  function counted(key: string): { query: CachedQuery; loads: () => number } {
    let loads = 0;
    const load = () => Promise.resolve(++loads);
    return { query: { key, tags: [], projection: "items", load }, loads: () => loads };
  }

  it("use the value the other one stored when their claim to load comes late", async () => {
    const { query, loads } = counted("loader:late");
    const first = Promise.withResolvers<void>();
    const late = cacheOf(1, delayClaims(first.promise, backendOf(1))).read(query);
    const early = await cacheOf(0).read(query);
    first.resolve();
    assertEquals([(await late).text, early.text, loads()], ["1", "1", 1]);
    assertEquals(
      await place.redis?.link.exists("tallybook:l:loader:late"),
      0,
      "the load lock is released",
    );
  });

  const breakerTrips = () =>
    replicas.reduce((sum, { services: { redis } }) => sum + (redis?.breakerTrips ?? 0), 0);

  async function loadsOf(key: string): Promise<number> {
    const caches = [cacheOf(0), cacheOf(1)];
    const { query, loads } = counted(key);
    await Promise.all(Array.from({ length: READERS }, async (_, i) => {
      await new Promise((done) => setTimeout(done, Math.random() * 4));
      await caches[i % 2]?.read(query);
    }));
    return loads();
  }

  /** Repeats a round in which the breaker tripped: without Redis each replica loads for itself. */
  async function withoutBreakerTrip(work: (round: number) => Promise<number>): Promise<number> {
    for (let round = 0; round < ROUNDS; round++) {
      await waitFor(() => replicas.every(({ services: { redis } }) => redis?.isAvailable));
      const before = breakerTrips();
      const result = await work(round);
      if (breakerTrips() === before) return result;
    }
    throw new Error(`the breaker tripped in each of ${ROUNDS} rounds`);
  }

  it("load each of many keys once", async () => {
    const all: string[] = [];
    const tripsBefore = breakerTrips();
    for (let n = 0; n < KEYS; n++) {
      const loads = await withoutBreakerTrip((round) => loadsOf(`loader:${n}:${round}`));
      if (loads !== 1) all.push(`${n}: ${loads} times`);
    }
    report(
      `one load a key: ${KEYS} keys, breaker tripped ${
        breakerTrips() - tripsBefore
      } times meanwhile`,
    );
    assertEquals(all, []);
  });
});

function delayClaims(until: Promise<void>, backend: CacheBackend): CacheBackend {
  return new Proxy(backend, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      if (name !== "claim") return value.bind(target);
      return async (...args: unknown[]) => {
        await until;
        return await value.apply(target, args);
      };
    },
  });
}
