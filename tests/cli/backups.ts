// Logs to back up, each in a database of its own.
import { projections } from "$projections/mod.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { liveHook } from "$src/projector/projector.ts";
import { Appender } from "$src/store/appender.ts";
import { newSigningKey, parseSigningKey } from "$src/store/signed_head.ts";
import { migrate } from "$src/store/migrate.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";

export const signing = parseSigningKey(newSigningKey());

export type Own = AsyncDisposable & { database: FreshDatabase; sql: Sql; log: Appender };

export async function empty(): Promise<Own> {
  const database = await freshDatabase();
  const sql = connect(database.ownerUrl, { max: 3 });
  await migrate(sql);
  return {
    database,
    sql,
    log: new Appender(sql, { hook: liveHook(projections) }),
    async [Symbol.asyncDispose]() {
      await sql.end({ timeout: 5 });
      await database[Symbol.asyncDispose]();
    },
  };
}

export function sign(log: Appender, id: number): Promise<unknown> {
  const data = { id, name: `Name ${id}`, message: `words of ${id}`, author: null, held: false };
  return log.append({
    streams: [{ stream: `entry-${id}`, expected: "none", events: [{ type: "EntrySigned", data }] }],
    meta: { actor: "visitor" },
  });
}

export function erase(log: Appender, id: number): Promise<unknown> {
  const stream = `entry-${id}`;
  return log.append({
    streams: [{ stream, expected: 1, events: [{ type: "EntryErased", data: { id } }] }],
    erase: [stream],
    meta: { actor: "admin" },
  });
}
