// A form whose subject was changed meanwhile is shown again beside what is there now.
import type { Sql } from "../connections/postgres.ts";
import type { RejectedForm } from "../http/context.ts";
import type { Context } from "../http/context.ts";

/** The page of a refused form, with the row as it is `now` where that is why it was refused. */
export async function againOn<Row>(
  c: Context,
  refused: RejectedForm,
  find: (sql: Sql, id: number) => Promise<Row | undefined>,
  page: (c: Context, refused: RejectedForm, now?: Row) => string,
): Promise<string> {
  if (refused.problem.status !== 412) return page(c, refused);
  return page(c, refused, await find(c.get("services").sql, Number(c.req.param("id"))));
}
