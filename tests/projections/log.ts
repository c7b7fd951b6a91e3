// A log with its read models, without HTTP: the base of the projection tests.
import { type Projection } from "$projections/projection.ts";
import { projections as real } from "$projections/mod.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { liveHook, prepareProjections } from "$src/projector/projector.ts";
import { Appender } from "$src/store/appender.ts";
import { migrate } from "$src/store/migrate.ts";
import { GENESIS } from "$src/store/hash_chain.ts";
import { freshDatabase } from "../support/database.ts";
import { sorted, type Tables } from "./model.ts";

export type ProjectedLog = AsyncDisposable & {
  sql: Sql;
  appender: Appender;
  url: string;
};

export async function openLog(projections: Projection[] = real): Promise<ProjectedLog> {
  const database = await freshDatabase();
  const sql = connect(database.ownerUrl, { max: 6, patient: true });
  await migrate(sql);
  await prepareProjections(sql, projections);
  const appender = new Appender(sql, { hook: liveHook(projections) });
  return {
    sql,
    appender,
    url: database.ownerUrl,
    async [Symbol.asyncDispose]() {
      await appender.close();
      await sql.end({ timeout: 5 });
      await database[Symbol.asyncDispose]();
    },
  };
}

export const tableNames = real.flatMap(({ tables }) => tables);

export async function readTables(sql: Sql): Promise<Tables> {
  const found = await Promise.all(tableNames.map(async (name) => {
    const rows = await sql`select * from ${sql(`read.${name}`)}`;
    return [name, [...rows]];
  }));
  return sorted(Object.fromEntries(found) as Tables);
}

/** Resets the log to its first day, which only a superuser can. */
export async function emptyLog(sql: Sql): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`alter table events disable trigger all`;
    await tx`truncate events, keys, idempotency`;
    await tx`update counter set position = 0, seal = ${GENESIS}, at = '1970-01-01Z'`;
    await tx`alter table events enable trigger all`;
    for (const name of tableNames) await tx`truncate ${tx(`read.${name}`)}`;
    await tx`insert into read.entry_totals (shown) values (0)`;
    await tx`update read.projections set position = 0, error = null`;
  });
}
