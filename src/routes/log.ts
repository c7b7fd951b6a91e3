// The log itself, for admins.
import { z } from "zod";
import { endpoint } from "../http/endpoint.ts";
import { decimalInteger, isoDate, position, searchTerm } from "../schemas/fields.ts";
import { nextLink } from "../http/respond.ts";
import { readStored } from "../store/read.ts";
import { lineOf } from "../store/export_import.ts";

const stored = z.object({
  position: z.int(),
  stream: z.string(),
  version: z.int(),
  type: z.string(),
  data: z.record(z.string(), z.unknown()),
  meta: z.record(z.string(), z.unknown()),
  at: isoDate,
  seal: z.string(),
});

/** One stream; types as a comma-separated list. */
export const filters = z.object({
  stream: searchTerm(200).optional(),
  type: searchTerm(500).optional(),
});

const query = filters.extend({
  after: position.default(0),
  limit: decimalInteger({ min: 1, max: 1000 }).default(100),
});

export const logRoutes = [
  endpoint({
    method: "get",
    path: "/events",
    summary: "The log in order, personal fields as they are stored: encrypted",
    tag: "log",
    access: "admin",
    query,
    replies: { 200: { description: "A page of the log", schema: z.array(stored) } },
  }, async (c, { query: { type, ...page } }) => {
    const types = type?.split(",");
    const rows = await readStored(c.get("services").sql, { ...page, types });
    const last = rows.at(-1);
    c.header("Cache-Control", "no-store");
    if (last && rows.length === page.limit) {
      const filters = {
        ...(page.stream === undefined ? {} : { stream: page.stream }),
        ...(type === undefined ? {} : { type }),
      };
      const after = { after: last.position, limit: page.limit };
      c.header("Link", nextLink("/events", { ...after, ...filters }));
    }
    if (c.req.header("accept")?.includes("application/x-ndjson")) {
      const lines = rows.map((row) => `${lineOf(row)}\n`).join("");
      return c.body(lines, 200, { "content-type": "application/x-ndjson" });
    }
    return c.json(rows);
  }),
];
