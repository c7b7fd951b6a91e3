// Rebuilds read models from the log while the service runs: fills tables beside the live ones,
// catches up, then swaps them briefly under the counter's lock.
import { liveTables, nextTables, type Projection } from "$projections/projection.ts";
import { erasing } from "$projections/mod.ts";
import { inTransaction, ownSession, type Sql, type Tx } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { applyThrough, type FillOptions, fillTables } from "./fill.ts";

const LOCK = 7_411_530;
const SWAP_TRIES = 20;

export type ReplayOptions = Omit<FillOptions, "from"> & {
  /** Called when the tables to fill exist and every session can see that. */
  onBegin?: () => void;
};

export type Difference = { table: string; only: "live" | "replayed"; row: string };

type Progress = { rebuild: number | null; rebuild_revision: number | null };

/** One replay at a time in all processes: a second one is refused at once. */
export async function withReplayLock<Result>(
  sql: Sql,
  work: () => Promise<Result>,
): Promise<Result> {
  const lost = new AbortController();
  const session = ownSession(sql, () => lost.abort());
  try {
    // Checks the lock table too: the embedded server's connections are all one session, which could
    // take its own lock again.
    const [row] = await session<{ taken: boolean }[]>`
      select not exists (
        select from pg_locks where locktype = 'advisory' and objid = ${LOCK} and granted
          and database = (select oid from pg_database where datname = current_database())
      ) and pg_try_advisory_lock(${LOCK}) as taken`;
    if (!row?.taken) throw new AppError("conflict", "another replay is under way");
    try {
      return await work();
    } finally {
      // Unlocks before the session ends: the embedded server's sessions end together.
      if (!lost.signal.aborted) await session`select pg_advisory_unlock(${LOCK})`;
    }
  } finally {
    await session.end({ timeout: 1 });
  }
}

/** Rebuilds one projection into new tables; returns the position at which they were swapped in. */
export async function replay(
  sql: Sql,
  projection: Projection,
  options: ReplayOptions = {},
): Promise<number> {
  let from = await prepareNext(sql, projection);
  options.onBegin?.();
  from = await fillTables(sql, projection, { ...options, from });
  for (let tries = 1;; tries++) {
    try {
      return await swap(sql, projection);
    } catch (error) {
      if (!isLockTimeout(error) || tries === SWAP_TRIES) throw error;
      from = await fillTables(sql, projection, { ...options, from });
    }
  }
}

/** Compares a new rebuild with the live tables, in one snapshot, and names rows that differ. */
export async function checkReplay(
  sql: Sql,
  projection: Projection,
  options: ReplayOptions = {},
): Promise<Difference[]> {
  await dropNext(sql, projection);
  const from = await prepareNext(sql, projection);
  await fillTables(sql, projection, { ...options, from });
  try {
    return await inTransaction(sql, async (tx) => {
      const live = await livePosition(tx, projection.name);
      await finish(tx, projection, live);
      const found = await Promise.all(projection.tables.map((table) => differences(tx, table)));
      return found.flat();
    }, "isolation level repeatable read");
  } finally {
    await dropNext(sql, projection);
  }
}

async function prepareNext(sql: Sql, projection: Projection): Promise<number> {
  return await inTransaction(sql, async (tx) => {
    const { name, revision } = projection;
    const [at] = await tx<Progress[]>`
      select rebuild, rebuild_revision from read.projections where name = ${name} for update`;
    if (!at) throw new AppError("not_found", `no such projection: ${name}`);
    if (at.rebuild !== null && at.rebuild_revision === revision) return at.rebuild;
    for (const table of projection.tables) {
      await tx`drop table if exists ${nextTables(tx)(table)}`;
    }
    await projection.create(tx, nextTables(tx));
    await tx`
      update read.projections set rebuild = 0, rebuild_revision = ${revision}
      where name = ${name}`;
    return 0;
  });
}

async function swap(sql: Sql, projection: Projection): Promise<number> {
  return await inTransaction(sql, async (tx) => {
    await tx`set local lock_timeout = '250ms'`;
    const [head] = await tx<{ position: number }[]>`select position from counter for update`;
    const position = head?.position ?? 0;
    await finish(tx, projection, position);
    for (const table of projection.tables) await takePlace(tx, table);
    await tx`
      update read.projections set position = ${position}, revision = ${projection.revision},
        error = null, rebuild = null, rebuild_revision = null
      where name = ${projection.name}`;
    return position;
  });
}

async function takePlace(tx: Tx, table: string): Promise<void> {
  await tx`drop table ${liveTables(tx)(table)}`;
  const indexes = await tx<{ name: string }[]>`
    select indexname as name from pg_indexes
    where schemaname = 'read' and tablename = ${`${table}_next`}`;
  for (const { name } of indexes) {
    await tx`alter index ${tx(`read.${name}`)} rename to ${tx(name.replace("_next", ""))}`;
  }
  await tx`alter table ${nextTables(tx)(table)} rename to ${tx(table)}`;
}

/** Applies the last events, up to a position that cannot move while this transaction runs. */
async function finish(tx: Tx, projection: Projection, until: number): Promise<void> {
  const [at] = await tx<Progress[]>`
    select rebuild, rebuild_revision from read.projections where name = ${projection.name}`;
  await applyThrough(tx, projection, { after: at?.rebuild ?? 0, until });
}

/**
 * An abandoned rebuild holds what was readable when it stopped: once something has been erased
 * since, its tables are dropped, and the next replay starts clean.
 */
export async function dropAbandoned(sql: Sql, projection: Projection): Promise<void> {
  const types = Object.keys(erasing);
  const [found] = await sql`
    select from read.projections p where p.name = ${projection.name} and exists (
      select from events where type = any(${types}::text[]) and position > p.rebuild)`;
  if (!found) return;
  try {
    await withReplayLock(sql, () => dropNext(sql, projection));
  } catch (error) {
    // Another process is continuing it.
    if (!(error instanceof AppError && error.code === "conflict")) throw error;
  }
}

async function dropNext(sql: Sql, projection: Projection): Promise<void> {
  await inTransaction(sql, async (tx) => {
    for (const table of projection.tables) {
      await tx`drop table if exists ${nextTables(tx)(table)}`;
    }
    await tx`
      update read.projections set rebuild = null, rebuild_revision = null
      where name = ${projection.name}`;
  });
}

async function differences(tx: Tx, table: string): Promise<Difference[]> {
  const live = liveTables(tx)(table);
  const next = nextTables(tx)(table);
  return await tx<Difference[]>`
    select ${table}::text as table, side as "only", row from (
      (select 'live' as side, to_jsonb(l)::text as row from ${live} l
        except all select 'live', to_jsonb(n)::text from ${next} n)
      union all
      (select 'replayed' as side, to_jsonb(n)::text as row from ${next} n
        except all select 'replayed', to_jsonb(l)::text from ${live} l)
    ) d limit 20`;
}

async function livePosition(tx: Tx, name: string): Promise<number> {
  const [row] = await tx<{ position: number }[]>`
    select position from read.projections where name = ${name}`;
  return row?.position ?? 0;
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "55P03";
}
