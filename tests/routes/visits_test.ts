import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { viewsOf } from "$projections/visits.ts";
import { openPlace, openService, type Replica, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

const DATABASE_ONLY = { redis: false };
/** An address where nothing listens. */
const NO_REDIS = "redis://127.0.0.1:1";

async function see({ client }: Replica, page: string): Promise<number> {
  return Number((await client().post("/visits", { page })).get("visits"));
}

async function shown({ client }: Replica, page: string): Promise<number> {
  return Number((await client().get(`/visits?page=${page}`)).get("visits"));
}

function redisOf({ place: { redis } }: Service) {
  if (!redis) throw new Error("the place was opened without Redis");
  return redis;
}

describe("page views", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  const known = (page: string) => viewsOf(service.place.owner, page);

  it("are counted at once, and written to the log within seconds", async () => {
    for (let i = 1; i <= 5; i++) assertEquals(await see(service, "/a"), i);
    await waitFor(async () => await known("/a") === 5);
    const events = await service.place.owner<{ count: number }[]>`
      select (data->>'count')::int as count from events where stream = 'visits-/a'`;
    assert(events.length <= 3, "one event for many views");
    assertEquals(await see(service, "/a"), 6);
  });

  it("never decrease, in any replica, while they are counted and written", async () => {
    await using other = await service.place.open();
    const totals: number[] = [];
    let seen = 0;
    const ends = performance.now() + 5000;
    const writing = (async () => {
      for (; performance.now() < ends; seen++) await see(seen % 2 ? other : service, "/b");
    })();
    for (let i = 0; performance.now() < ends; i++) {
      totals.push(await shown(i % 2 ? other : service, "/b"));
    }
    await writing;
    assertEquals(totals, totals.toSorted((a, b) => a - b));
    // A Redis that is slow for a moment may lose a view, and never counts one twice.
    await waitFor(async () => await known("/b") >= seen * 0.95);
    assert(await known("/b") <= seen, `${await known("/b")} of ${seen}`);
  });

  it("count whether a page was sent or answered with 304", async () => {
    const html = { accept: "text/html" };
    const first = await service.client().get("/polls/1", html);
    const known = { ...html, "if-none-match": first.headers.get("etag") ?? "" };
    const again = await service.client().get("/polls/1", known);
    assertEquals([first.status, again.status], [200, 304]);
    await service.client().get("/polls/1", { "if-none-match": "*" });
    await waitFor(async () => await shown(service, "/polls/1") === 2);
  });

  it("are written to the log at shutdown", async () => {
    const other = await service.place.open();
    assertEquals(await see(other, "/c"), 1);
    await other[Symbol.asyncDispose]();
    await waitFor(async () => await known("/c") === 1);
  });

  it("survive a Redis that is flushed or killed, but for seconds' worth, and never decrease", async () => {
    const redis = redisOf(service);
    for (let i = 0; i < 3; i++) await see(service, "/d");
    await waitFor(async () => await known("/d") === 3);
    await see(service, "/d");
    const before = await shown(service, "/d");
    await redis.link.flushall();
    assert(await shown(service, "/d") >= before);
    await redis.part.kill();
    const first = await see(service, "/d");
    assert(first >= before, `${first} after ${before}`);
    for (let i = 0; i < 5; i++) assert(await see(service, "/d") >= first);
    await waitFor(async () => await known("/d") >= 3 + 6);
    await redis.part.start();
    await waitFor(async () => (await service.client().get("/health")).get("redis") === "ok");
    const after = await see(service, "/d");
    assert(after >= first + 1, `${after} after ${first}`);
  });

  it("never decrease at a replica without Redis, whichever replica counted them", async () => {
    await using without = await service.place.open({ REDIS_URL: NO_REDIS });
    const replicas = [service, without];
    const once = async ({ client }: Replica) => {
      const headers = { "idempotency-key": crypto.randomUUID() };
      return Number((await client().post("/visits", { page: "/g" }, headers)).get("visits"));
    };
    let counted = 0;
    let last = 0;
    for (const at of [0, 1, 0, 0, 1, 1, 0]) {
      for (const count of [see, once]) {
        const total = await count(replicas[at] as Replica, "/g");
        counted++;
        assert(total >= last, `counted: ${total} after ${last}`);
        last = total;
        for (const replica of [...replicas, ...replicas.toReversed()]) {
          const read = await shown(replica, "/g");
          assert(read >= last, `read: ${read} after ${last}`);
          last = read;
        }
      }
    }
    assert(last <= counted, `${last} of ${counted}: nothing is made up`);
    await waitFor(async () => await known("/g") === counted);
    assertEquals([await shown(service, "/g"), await shown(without, "/g")], [counted, counted]);
  });

  it("show the highest total known to all replicas while none can be written to the log", async () => {
    assertEquals(await see(service, "/h"), 1);
    await service.place.owner`
      create function no_room() returns trigger language plpgsql as
      $$ begin raise exception 'no room' using errcode = 'disk_full'; end $$`;
    await service.place.owner`
      create trigger no_room before insert or update on shown_totals
      for each statement execute function no_room()`;
    try {
      const [counted, read] = [await see(service, "/h"), await shown(service, "/h")];
      assert(counted >= 1 && read >= counted && read <= 2, `${counted}, then ${read}`);
    } finally {
      await service.place.owner`drop trigger no_room on shown_totals`;
    }
    await waitFor(async () => await shown(service, "/h") === 2);
  });

  it("set aside before a crash are counted once by the replica that finds them", async () => {
    // The append is in the log; the command that confirms it to Redis never ran.
    const { link } = redisOf(service);
    await link.hset("tallybook:visits:taken", "/e", "4");
    await link.set("tallybook:visits:name", "a name of the dead");
    await service.services.appender.append({
      streams: [{
        stream: "visits-/e",
        expected: "any",
        events: [{ type: "VisitsCounted", data: { page: "/e", count: 4 } }],
      }],
      meta: { actor: "system" },
      idempotency: {
        scope: "visits",
        key: "a name of the dead",
        fingerprint: "a name of the dead",
      },
    });
    await service.services.visits.flush();
    await waitFor(async () => await link.exists("tallybook:visits:taken") === 0);
    await waitFor(async () => await known("/e") === 4);
  });

  it("set aside and not yet written are written under the same name", async () => {
    const { link } = redisOf(service);
    await link.hset("tallybook:visits:taken", "/f", "7");
    await link.set("tallybook:visits:name", "another name");
    await Promise.all([service.services.visits.flush(), service.services.visits.flush()]);
    await waitFor(async () => await link.exists("tallybook:visits:taken") === 0);
    assertEquals(await known("/f"), 7);
  });

  it("are refused for an address that is no page", async () => {
    for (const page of ["", "a b", "<script>", "x".repeat(101), "é", 5, ["/"]]) {
      const answer = await service.client().post("/visits", { page });
      assertEquals([answer.status, answer.get("errors.0.field")], [422, "page"], String(page));
    }
  });
});

describe("page views without Redis", () => {
  it("are kept in memory and written to the log by each process", async () => {
    await using place = await openPlace(DATABASE_ONLY);
    await using one = await place.open();
    await using two = await place.open();
    assertEquals([await see(one, "/"), await see(two, "/")], [1, 1]);
    await waitFor(async () => await viewsOf(place.owner, "/") === 2);
    assertEquals([await see(one, "/"), await shown(two, "/")], [3, 3]);
  });
});
