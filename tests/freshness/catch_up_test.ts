// The leader's catch-up in normal operation, and when a replica fails to invalidate.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { delay } from "$src/async/delay.ts";
import { NullCache } from "$src/cache/none.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { CatchUp, savedWatermark } from "$src/freshness/catch_up.ts";
import { Watermark } from "$src/freshness/watermark.ts";
import { idOf } from "../support/api.ts";
import { openPlace, openService, type Replica, type Service } from "../support/service.ts";
import { proxyTo } from "../support/proxy.ts";
import { waitFor } from "../support/until.ts";

const LOCK = 7_411_531;

describe("a report to the leader", () => {
  it("confirms no position of a round that failed, however many messages it takes", async () => {
    const sent: string[] = [];
    const sql = (_text: TemplateStringsArray, ...values: unknown[]) => {
      sent.push(String(values[1]));
      return Promise.resolve([]);
    };
    const watermark = new Watermark(() => Promise.resolve(0));
    const catchUp = new CatchUp({
      sql: sql as unknown as Sql,
      embedded: false,
      cache: new NullCache(),
      nginxes: [],
      watermark,
    });
    const ranges = Array.from({ length: 450 }, (_, i) => ({ first: i + 1, last: i + 1 }));
    catchUp.report(ranges, false);
    await waitFor(() => sent.join(" ").includes("failed"));
    assertEquals(sent, ["failed"]);
    catchUp.report(ranges, true);
    await waitFor(() => sent.join(" ").includes("450-450"));
    assertEquals(sent.slice(1).flatMap((text) => text.split(" ")).length, 450);
    await catchUp[Symbol.asyncDispose]();
  });
});

describe("a leader that is cut off from Redis", () => {
  it("answers a write when no replica believes Redis any more", async () => {
    await using place = await openPlace();
    await using way = proxyTo(place.redis?.url ?? "");
    await using leader = await place.open({ REDIS_URL: way.url, VISIBLE_WAIT_MS: "3000" });
    await waitFor(() => leader.services.leader.isLeader);
    await using reader = await place.open();
    const id = idOf(await leader.client().post("/items", { name: "before" }));
    const name = async () => (await reader.client().get(`/items/${id}`)).get("name");
    const hits = () => reader.services.cache.counts.find(({ kind }) => kind === "item")?.hits ?? 0;
    for (let turn = 0; turn < 3; turn++) {
      // Redis is in use: the reader is answered from it.
      const before = hits();
      await waitFor(async () => (await name()) !== undefined && hits() > before + 1);
      way.cut();
      const { status, headers } = await leader.client().put(`/items/${id}`, {
        name: `after ${turn}`,
      });
      assertEquals([status, headers.get("Tallybook-Visible")], [200, null]);
      assertEquals(await name(), `after ${turn}`);
      way.mend();
    }
  });
});

describe("the leader's catch-up", () => {
  let service: Service;
  before(async () => {
    service = await openService();
    await waitFor(() => service.services.leader.isLeader && service.services.freshness.visible > 0);
  });
  after(() => service[Symbol.asyncDispose]());

  /** How often the log was read from a position on while `work` ran. */
  async function readsOfTheLog(work: () => Promise<void>): Promise<number> {
    const { sql } = service.services;
    let reads = 0;
    sql.options.debug = (_connection, query) => {
      if (/from events\s+where position > /.test(query)) reads++;
    };
    try {
      await work();
    } finally {
      sql.options.debug = false;
    }
    return reads;
  }

  it("does not read the log for commits that their replicas confirm", async () => {
    await using other = await service.place.open();
    let last = 0;
    const reads = await readsOfTheLog(async () => {
      for (let turn = 0; turn < 60; turn++) {
        const { headers } = await (turn % 2 ? service : other).client()
          .post("/items", { name: `item ${turn}` });
        assertEquals(headers.get("Tallybook-Visible"), null);
        last = Number(headers.get("Tallybook-Position"));
      }
      assert(await service.services.freshness.waitFor(last, 5000));
    });
    // Without confirmations the log is read for each of the 60. A few confirmations may be late on a busy
    // machine.
    assert(reads < 15, `${reads} reads`);
    await waitFor(async () => await savedWatermark(service.services.sql) >= last);
  });

  it("advances the watermark past concurrent commits of two replicas", async () => {
    await using other = await service.place.open();
    const voters = Array.from({ length: 40 }, (_, i) => (i % 2 ? service : other).client());
    for (let turn = 0; turn < 5; turn++) {
      const answers = await Promise.all(
        voters.map((voter, i) => voter.post("/items", { name: `item ${turn} ${i}` })),
      );
      assertEquals(answers.map(({ status }) => status), voters.map(() => 201));
      const last = Math.max(
        ...answers.map(({ headers }) => Number(headers.get("Tallybook-Position"))),
      );
      for (const { services } of [service, other]) {
        assert(await services.freshness.waitFor(last, 5000), `${last} is not visible`);
      }
    }
  });

  it("invalidates in Redis, before the response, what a replica without Redis commits", async () => {
    await using proxy = proxyTo(service.place.redis?.url ?? "");
    await using cutOff = await service.place.open({ REDIS_URL: proxy.url });
    const id = idOf(await service.client().post("/items", { name: "before" }));
    const path = `/items/${id}`;
    const name = async (replica: Replica) => (await replica.client().get(path)).get("name");
    const isInRedis = async () =>
      await service.place.redis?.link.exists(`tallybook:v:item:${id}`) === 1;
    await waitFor(async () => await name(service) === "before" && await isInRedis());
    proxy.cut();
    for (let turn = 0; turn < 5; turn++) {
      const { status, headers } = await cutOff.client().put(path, { name: `after ${turn}` });
      assertEquals([status, headers.get("Tallybook-Visible")], [200, null]);
      assertEquals(await name(service), `after ${turn}`);
      await waitFor(isInRedis);
    }
    proxy.mend();
  });

  /** The replica that commits delays its invalidation. */
  function delayInvalidation({ services }: Replica): Disposable {
    const { backend } = services.cache;
    const invalidate = backend.invalidate.bind(backend);
    backend.invalidate = async (...stale) => {
      await delay(120);
      await invalidate(...stale);
    };
    return { [Symbol.dispose]: () => void (backend.invalidate = invalidate) };
  }

  it("holds back a repeat at another replica until the first one's commit is visible", async () => {
    await using other = await service.place.open();
    using _delayed = delayInvalidation(other);
    for (let turn = 0; turn < 5; turn++) {
      const before = idOf(await service.client().post("/items", { name: "counted" }));
      const list = async () => (await service.client().get(`/items?after=${before}`)).text;
      await waitFor(async () => await list() === "[]" && await isInRedis(`items:100:${before}`));
      const headers = { "idempotency-key": `one-key-at-two-replicas-${turn}` };
      const first = other.client().post("/items", { name: "repeated" }, headers);
      await waitFor(async () =>
        (await service.place.owner`select from read.items where id > ${before}`).length > 0
      );
      const repeat = await service.client().post("/items", { name: "repeated" }, headers);
      assertEquals(repeat.headers.get("Idempotency-Replayed"), "true");
      assertEquals(repeat.headers.get("Tallybook-Visible"), null);
      assertStringIncludes(await list(), "repeated");
      await first;
    }
  });

  it("holds back a refusal until the event it depends on is visible", async () => {
    await using other = await service.place.open();
    using _delayed = delayInvalidation(other);
    const id = idOf(
      await service.admin().post("/polls", { question: "Tea?", options: ["Yes", "No"] }),
    );
    const state = async () => (await service.client().get(`/polls/${id}`)).get("state");
    await waitFor(async () => await state() === "open" && await isInRedis(`poll:${id}`));
    const closing = other.admin().post(`/polls/${id}/close`);
    const vote = await waitFor(async () => {
      const answer = await service.client().post(`/polls/${id}/votes`, { option: "1" });
      return answer.status === 409 && answer;
    });
    assertEquals(vote.headers.get("Tallybook-Visible"), null);
    assertEquals(await state(), "closed");
    await closing;
  });

  async function isInRedis(key: string): Promise<boolean> {
    return await service.place.redis?.link.exists(`tallybook:v:${key}`) === 1;
  }

  it("wakes waiters by the saved watermark when the notification is missed", async () => {
    const { freshness, leader } = service.services;
    const { owner } = service.place;
    await waitFor(() => leader.isLeader && freshness.visible > 0);
    const position = freshness.visible + 1;
    const waiting = freshness.waitFor(position, 5000);
    const other = await owner.reserve();
    const [own] = await other<{ pid: number }[]>`select pg_backend_pid() as pid`;
    try {
      const locked = other`select pg_advisory_lock(${LOCK})`.execute();
      const holder = await waitFor(async () => {
        const rows = await owner<{ pid: number; granted: boolean }[]>`
          select pid, granted from pg_locks where locktype = 'advisory' and objid = ${LOCK}
            and database = (select oid from pg_database where datname = current_database())`;
        const isWaiting = rows.some(({ pid, granted }) => pid === own?.pid && !granted);
        return isWaiting && rows.find(({ granted }) => granted);
      });
      await owner`select pg_terminate_backend(${holder.pid})`;
      await locked;
      await owner`update checkpoints set position = ${position} where name = 'freshness'`;
      assertEquals(await waiting, true);
    } finally {
      await other`select pg_advisory_unlock(${LOCK})`;
      other.release();
    }
  });
});
