// After a 412, a form is rendered again beside the current state of its record.
import type { Sql } from "../connections/postgres.ts";
import type { RejectedForm } from "../http/context.ts";
import type { Context } from "../http/context.ts";

/** Renders a rejected form; after a 412 together with the current row (`now`). */
export async function rerenderWithCurrent<Row>(
  c: Context,
  refused: RejectedForm,
  find: (sql: Sql, id: number) => Promise<Row | undefined>,
  page: (c: Context, refused: RejectedForm, now?: Row) => string,
): Promise<string> {
  if (refused.problem.status !== 412) return page(c, refused);
  return page(c, refused, await find(c.get("services").sql, Number(c.req.param("id"))));
}
