import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { acquireLock } from "$src/leader/lock.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { waitFor } from "../support/until.ts";

const LOCK = 4711;

describe("the leader's lock", () => {
  let database: FreshDatabase;
  let sql: Sql;
  before(async () => {
    database = await freshDatabase();
    sql = connect(database.ownerUrl, { max: 3 });
  });
  after(async () => {
    await sql.end({ timeout: 5 });
    await database[Symbol.asyncDispose]();
  });

  const stop = () => new AbortController();

  async function waiting(): Promise<number | undefined> {
    const [row] = await sql<{ count: number }[]>`
      select count(*) from pg_locks where locktype = 'advisory' and objid = ${LOCK}
        and not granted
        and database = (select oid from pg_database where datname = current_database())`;
    return row?.count;
  }

  it("passes to the next session when it is released", async () => {
    const first = await acquireLock(sql, LOCK, stop().signal);
    const second = acquireLock(sql, LOCK, stop().signal);
    await waitFor(async () => await waiting() === 1);
    assertEquals(first.isHeld(), true);
    await first[Symbol.asyncDispose]();
    await using held = await second;
    assertEquals(held.isHeld(), true);
  });

  it("is taken by the server from a session that falls silent", async () => {
    const silent = connect(database.ownerUrl, { max: 1 });
    // Heartbeats go out and nothing comes back, as in a frozen process.
    const lock = await acquireLock(silent, LOCK, stop().signal);
    const session = lock.sql;
    const [row] = await session<{ ms: string }[]>`select setting as ms
      from pg_settings where name = 'idle_session_timeout'`;
    assertEquals(row?.ms, "2500");
    await session`select set_config('idle_session_timeout', '100', false)`;
    await using next = await acquireLock(sql, LOCK, stop().signal);
    assertEquals(next.isHeld(), true);
    await waitFor(() => lock.lost.aborted);
    assertEquals(lock.isHeld(), false);
    await lock[Symbol.asyncDispose]();
    await silent.end({ timeout: 5 });
  });

  it("keeps no dead client in its queue", async () => {
    await using _held = await acquireLock(sql, LOCK, stop().signal);
    const leaving = stop();
    const queued = acquireLock(sql, LOCK, leaving.signal).catch(() => "gone");
    await waitFor(async () => await waiting() === 1);
    leaving.abort();
    await waitFor(async () => await waiting() === 0);
    assertEquals(await queued, "gone");
  });
});
