// Answers as of a position of the log.
import type { Sql } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { readHead } from "../store/read.ts";

/** Answers about the future would change with the next append, but they may be cached for ever. */
export async function refuseFuture(sql: Sql, position: number): Promise<void> {
  const head = await readHead(sql);
  if (position <= head.position) return;
  const fields = [{ field: "asOf", message: `is beyond the log's head: ${head.position}` }];
  throw new AppError("invalid", `the log ends at position ${head.position}`, { fields });
}
