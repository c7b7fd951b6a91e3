import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { openService, type Service } from "./support/service.ts";
import { until } from "./support/until.ts";

const LOCK = 7_411_531;

describe("the follower", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  it("looks at the checkpoint for who began to wait while it held the lock", async () => {
    const { follower } = service.services;
    const { owner } = service.place;
    await until(() => follower.holder && follower.visible > 0);
    const position = follower.visible + 1;
    const waiting = follower.wait(position, 5000);
    const other = await owner.reserve();
    try {
      const locked = other`select pg_advisory_lock(${LOCK})`.execute();
      const holder = await until(async () => {
        const rows = await owner<{ pid: number; granted: boolean }[]>`
          select pid, granted from pg_locks where locktype = 'advisory' and objid = ${LOCK}
            and database = (select oid from pg_database where datname = current_database())`;
        return rows.length === 2 && rows.find(({ granted }) => granted);
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
