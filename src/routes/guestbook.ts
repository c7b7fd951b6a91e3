// The guestbook: reading it, and the admin's actions on entries. signing.ts has what visitors do.
import { z } from "zod";
import {
  entryStream,
  eraseEntry,
  foldEntry,
  hideEntry,
  restoreEntry,
} from "../commands/guestbook.ts";
import type { Sql } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { asOf, idParams, newestFirst } from "../schemas/fields.ts";
import { ifMatch, nextLink, sendQuery } from "../http/respond.ts";
import { entryPage, guestbookPage, olderPage } from "../pages/guestbook.tsx";
import { readStream } from "../store/read.ts";
import {
  type EntryPage,
  type EntryRow,
  findEntry,
  shownEntries,
  shownTotal,
} from "$projections/guestbook.ts";
import { refuseFuture } from "./as_of.ts";
import { entrySchema, type Home, homeSchema, publicEntry } from "../schemas/guestbook.ts";
import { asker } from "./entry_actor.ts";
import { cacheFacts } from "../observability/cache_report.ts";
import { authored } from "./signing.ts";
import { commandEndpoint, STALE } from "../http/command_endpoint.ts";
import { seen } from "./visits.ts";

const TAG = "guestbook";
const FIRST_PAGE = 10;

/** Common to the admin's actions. */
const desk = {
  method: "post",
  tag: TAG,
  access: "admin",
  replies: STALE,
  next: "/admin/entries",
} as const;

function entryQuery(id: number) {
  return {
    key: `entry:${id}`,
    tags: [`entry:${id}`],
    projection: "guestbook",
    load: async (sql: Sql) => {
      const row = await findEntry(sql, id);
      return row?.state === "shown" ? row : null;
    },
  };
}

/** The newest entries and how many there are. */
export const NEWEST = {
  key: "entries:home",
  tags: ["entries"],
  projection: "guestbook",
  load: async (sql: Sql) => ({
    ...await shownEntries(sql, { limit: FIRST_PAGE }),
    total: await shownTotal(sql),
  }),
};

export const guestbookRoutes = [
  endpoint({
    method: "get",
    path: "/",
    summary: "The guestbook: its form, the newest entries, totals and how often it was seen",
    tag: TAG,
    replies: { 200: { description: "The guestbook", schema: homeSchema } },
  }, async (c) => {
    const { cache, config } = c.get("services");
    const visits = await seen(c, "/");
    const answer = await cache.read(NEWEST);
    const facts = JSON.parse(answer.text) as EntryPage & { total: number };
    const data: Home = {
      message: `Welcome to ${config.SITE_TITLE}`,
      visits,
      ...facts,
      cache: await cacheFacts(c.get("services")),
    };
    return await sendQuery<Home>(c, { ...answer, text: JSON.stringify(data) }, {
      page: (home) => guestbookPage(c, { ...home, position: answer.position }),
      json: ({ next: _, ...home }) => home,
    });
  }),

  endpoint({
    method: "get",
    path: "/entries",
    summary: "Entries, newest first",
    tag: TAG,
    query: newestFirst,
    replies: { 200: { description: "A page of entries", schema: z.array(entrySchema) } },
  }, async (c, { query }) => {
    const answer = await c.get("services").cache.read({
      key: `entries:${query.limit}:${query.before ?? ""}`,
      tags: ["entries"],
      projection: "guestbook",
      load: (sql) => shownEntries(sql, query),
    });
    return await sendQuery<EntryPage>(c, answer, {
      page: (data) => olderPage(c, { ...data, paged: query.before !== undefined }),
      json: ({ entries }) => entries,
      link: ({ next }) =>
        next === null ? undefined : nextLink("/entries", { limit: query.limit, before: next }),
    });
  }),

  ...authored(""),

  endpoint({
    method: "get",
    path: "/entries/:id",
    summary: "One entry, as it is or as it was at a position of the log",
    tag: TAG,
    params: idParams,
    query: asOf,
    replies: { 200: { description: "The entry", schema: entrySchema } },
  }, async (c, { params, query }) => {
    const answer = await c.get("services").cache.read(entryQuery(params.id));
    if (query.asOf !== undefined && answer.text !== "null") {
      return await entryAsOf(c, params.id, query.asOf);
    }
    return await sendQuery<EntryRow>(c, answer, {
      page: (data) => entryPage(c, data),
      json: publicEntry,
      etag: ({ version }) => `"${version}"`,
    });
  }),

  commandEndpoint({
    ...desk,
    path: "/entries/:id/hide",
    summary: "Hide an entry",
    word: "Hidden",
  }, async (read, { c, id }) => hideEntry(foldEntry(await read(entryStream(id))), ifMatch(c))),

  commandEndpoint({
    ...desk,
    path: "/entries/:id/restore",
    summary: "Show an entry that was hidden or held",
    word: "Restored",
  }, async (read, { c, id }) => restoreEntry(foldEntry(await read(entryStream(id))), ifMatch(c))),

  commandEndpoint({
    ...desk,
    path: "/entries/:id/erase",
    summary: "Erase an entry for good",
    word: "Erased",
  }, async (read, { c, id }) => {
    return eraseEntry(foldEntry(await read(entryStream(id))), await asker(c), ifMatch(c));
  }),
];

/** Folds the entry's stream up to the position; an entry that is not shown today is a 404. */
async function entryAsOf(c: Context, id: number, position: number): Promise<Response> {
  await refuseFuture(c.get("services").sql, position);
  const events = await readStream(c.get("services").sql, entryStream(id), position);
  const state = foldEntry(events);
  const today = foldEntry(await c.get("services").streams.read(entryStream(id)));
  if (state?.status !== "shown" || today?.status !== "shown") {
    throw new AppError("not_found", "no such entry then");
  }
  c.header("Cache-Control", "no-store");
  c.header("Tallybook-Position", String(position));
  return c.json({
    id,
    name: state.name,
    message: state.message,
    created_at: state.signedAt.toISOString(),
  });
}
