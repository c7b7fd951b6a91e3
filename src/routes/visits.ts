// Page views.
import { z } from "zod";
import { countView } from "../commands/visits.ts";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { handleCommand } from "../http/handle_command.ts";
import { viewsOf } from "$projections/visits.ts";

const page = z.string().regex(/^[\w/.~-]{1,100}$/, "is not a page's path");
const counter = z.object({ message: z.string(), visits: z.int() });

async function total(c: Context, page: string): Promise<number> {
  const { visits, sql } = c.get("services");
  return await visits.total(page, () => viewsOf(sql, page));
}

/**
 * Counts this view and returns the total. Where the access log counts, the total is a second behind
 * anyway, so all readers share one query a second.
 */
export async function seen(c: Context, page: string): Promise<number> {
  const { visits, config } = c.get("services");
  if (config.ACCESS_LOG !== undefined) return await visits.recent(page, () => total(c, page));
  await visits.count(page);
  return await total(c, page);
}

/** With an Idempotency-Key the view is appended to the log at once, because the log stores the key. */
async function countOnce(c: Context, page: string): Promise<number> {
  const { events: [event] } = await handleCommand(
    c,
    async () => countView(page, await total(c, page)),
  );
  const shown = event?.type === "VisitsCounted" ? event.data.shown : undefined;
  if (shown === undefined) return await total(c, page);
  await c.get("services").visits.showed(page, shown);
  return shown;
}

async function count(c: Context, page: string): Promise<number> {
  if (c.req.header("idempotency-key") !== undefined) return await countOnce(c, page);
  await c.get("services").visits.count(page);
  return await total(c, page);
}

export const visitsRoutes = [
  endpoint({
    method: "get",
    path: "/visits",
    summary: "How often a page was seen",
    tag: "visits",
    query: z.object({ page: page.default("/") }),
    replies: { 200: { description: "The counter", schema: counter } },
  }, async (c, { query }) => {
    c.header("Cache-Control", "no-store");
    return c.json({ message: `Views of ${query.page}`, visits: await total(c, query.page) });
  }),

  endpoint({
    method: "post",
    path: "/visits",
    summary: "Count one view of a page",
    tag: "visits",
    body: z.object({ page: page.default("/") }),
    replies: { 200: { description: "The counter", schema: counter } },
  }, async (c, { body }) => {
    c.header("Cache-Control", "no-store");
    return c.json({ message: `Counted ${body.page}`, visits: await count(c, body.page) });
  }),
];
