import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { pause } from "$src/follower.ts";
import { openService, type Service } from "./support/service.ts";
import { until } from "./support/until.ts";

const LOCK = 7_411_531;

describe("the follower", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  it("is handed its own commits, and does not look for them in the log", async () => {
    const { follower, sql } = service.services;
    await until(() => follower.holder);
    const started = performance.now();
    let looks = 0;
    sql.options.debug = (_connection, query) => {
      if (/from events\s+where position > /.test(query)) looks++;
    };
    try {
      for (let turn = 0; turn < 60; turn++) {
        const { headers } = await service.client().post("/items", { name: `item ${turn}` });
        assertEquals(headers.get("Tallybook-Visible"), null);
      }
    } finally {
      sql.options.debug = false;
    }
    // Twice a second it looks for what nobody told it.
    const seconds = (performance.now() - started) / 1000;
    assert(looks <= seconds * 2 + 2, `${looks} looks into the log in ${seconds} s`);
  });

  it("looks for what another replica wrote while it was at its own", async () => {
    await using other = await service.place.open();
    // Slow, so that both write while it is at what came before.
    const { tier } = service.services.cache;
    const drop = tier.drop.bind(tier);
    tier.drop = async (...stale) => {
      await pause(20);
      await drop(...stale);
    };
    const voters = Array.from({ length: 40 }, (_, i) => (i % 2 ? service : other).client());
    for (let turn = 0; turn < 20; turn++) {
      const started = performance.now();
      const answers = await Promise.all(
        voters.map((voter, i) => voter.post("/items", { name: `item ${turn} ${i}` })),
      );
      const took = performance.now() - started;
      assertEquals(answers.map(({ status }) => status), voters.map(() => 201));
      // Not found before it looked by itself, twice a second.
      assert(took < 450, `seen after ${took} ms`);
    }
    tier.drop = drop;
  });

  it("leaves nobody behind who waits for its lock and was stopped", async () => {
    const { owner } = service.place;
    const waiting = async () => {
      const [row] = await owner<{ count: number }[]>`
        select count(*) from pg_locks where locktype = 'advisory' and objid = ${LOCK}
          and not granted
          and database = (select oid from pg_database where datname = current_database())`;
      return row?.count;
    };
    const other = await service.place.open();
    await until(async () => await waiting() === 1);
    await other[Symbol.asyncDispose]();
    await until(async () => await waiting() === 0);
  });

  it("looks at the checkpoint for who began to wait while it held the lock", async () => {
    const { follower } = service.services;
    const { owner } = service.place;
    await until(() => follower.holder && follower.visible > 0);
    const position = follower.visible + 1;
    const waiting = follower.wait(position, 5000);
    const other = await owner.reserve();
    const [own] = await other<{ pid: number }[]>`select pg_backend_pid() as pid`;
    try {
      const locked = other`select pg_advisory_lock(${LOCK})`.execute();
      const holder = await until(async () => {
        const rows = await owner<{ pid: number; granted: boolean }[]>`
          select pid, granted from pg_locks where locktype = 'advisory' and objid = ${LOCK}
            and database = (select oid from pg_database where datname = current_database())`;
        const isWaiting = rows.some(({ pid, granted }) => pid === own?.pid && !granted);
        return isWaiting && rows.find(({ granted }) => granted);
      });
      await owner`select pg_terminate_backend(${holder.pid})`;
      await locked;
      // The new holder's notification is what nobody hears.
      await owner`
        insert into checkpoints (name, position) values ('follower', ${position})
        on conflict (name) do update set position = excluded.position`;
      const started = performance.now();
      assertEquals(await waiting, true);
      assert(performance.now() - started < 1000);
    } finally {
      await other`select pg_advisory_unlock(${LOCK})`;
      other.release();
    }
  });
});
