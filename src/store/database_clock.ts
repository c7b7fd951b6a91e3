// The database's own clock, which times everything in the log.
import type { Sql } from "../connections/postgres.ts";

export async function clock(sql: Sql): Promise<Date> {
  const [row] = await sql<{ now: Date }[]>`select clock_timestamp() as now`;
  return row?.now ?? new Date();
}
