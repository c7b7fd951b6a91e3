// Small integers from a sequence per subject; a refused append leaves a gap.
import type { Sql } from "../connections/postgres.ts";

export type Subject = "entry" | "user" | "item" | "poll";

export async function nextId(sql: Sql, subject: Subject): Promise<number> {
  const [row] = await sql<{ id: number }[]>`select nextval(${`${subject}_ids`}) as id`;
  if (!row) throw new Error(`no sequence answered: ${subject}`);
  return row.id;
}
