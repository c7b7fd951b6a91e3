// The guestbook: signing, reading, and what an author or an admin may change.
import { z } from "zod";
import {
  editEntry,
  entryStream,
  eraseEntry,
  foldEntry,
  hideEntry,
  restoreEntry,
  signEntry,
} from "../commands/guestbook.ts";
import type { Sql } from "../database.ts";
import { AppError } from "../errors.ts";
import { refuseFuture } from "./as_of.ts";
import { type Context, wantsHtml } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { asOf, changed, id, idParams, isoDate, newestFirst, text } from "../http/fields.ts";
import { done, ifMatch, nextLink, show } from "../http/reply.ts";
import { digestFor, ensureVisitor } from "../http/visitor.ts";
import { embeddedSignAgain } from "../pages/embed.tsx";
import {
  changeAgain,
  entryPage,
  guestbookPage,
  mineAsPage,
  olderPage,
  signAgain,
} from "../pages/guestbook.tsx";
import { readStream } from "../store/read.ts";
import { nextId } from "../store/ids.ts";
import { write } from "../write.ts";
import {
  entriesBy,
  type Entry,
  type EntryPage,
  type EntryRow,
  findEntry,
  shownEntries,
  shownTotal,
} from "$projections/guestbook.ts";
import { cacheFacts, cacheFactsSchema } from "./facts.ts";
import { STALE, verb } from "./verb.ts";
import { seen } from "./visits.ts";

const TAG = "guestbook";
const FIRST_PAGE = 10;

/** What is done at the admin desk. */
const desk = { method: "post", tag: TAG, access: "admin", next: "/admin/entries" } as const;

const name = text({ max: 100 });
const message = text({ max: 2000, lines: true });
const fields = z.object({ name, message });
const changes = z.object({ name: name.optional(), message: message.optional() });

const entry = z.object({ id, name: z.string(), message: z.string(), created_at: isoDate });
const mine = entry.extend({ state: z.string(), editable: z.boolean() });
const home = z.object({
  message: z.string(),
  visits: z.int(),
  total: z.int(),
  entries: z.array(entry),
  cache: cacheFactsSchema,
});

export type Home = z.infer<typeof home> & { next: number | null };
export type Mine = z.infer<typeof mine>;

/** A visitor as the guestbook sees them. */
const authorOf = (visitor: string | undefined) => visitor && digestFor("guestbook", visitor);

const publicEntry = ({ id, name, message, created_at }: Entry) => ({
  id,
  name,
  message,
  created_at,
});

function entryQuestion(id: number) {
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

async function asker(c: Context) {
  const [row] = await c.var.services.sql<{ now: Date }[]>`select clock_timestamp() as now`;
  return { admin: c.var.admin, author: authorOf(c.var.visitor), now: row?.now ?? new Date() };
}

async function readEntry(c: Context, id: number) {
  return foldEntry(await c.var.services.streams.read(entryStream(id)));
}

/** Readers of pages are thanked, and see an entry that is held; old clients are sent home. */
function afterSigning(c: Context, entry: { id: number; held: boolean }, base: string): string {
  const isReader = wantsHtml(c) || base !== "";
  return isReader || entry.held ? `${base}/entries/mine?thanks=${entry.id}` : "/";
}

/** What a visitor does with entries of their own: here, and in the frame of another site. */
export function authored(base: "" | "/embed") {
  const embedded = base !== "";
  const place = { embedded, home: embedded ? "/embed/guestbook" : "/", base: `${base}/entries` };
  return [
    endpoint({
      method: "post",
      path: `${base}/sign`,
      summary: "Sign the guestbook",
      tag: TAG,
      body: fields,
      replies: {
        201: { description: "Signed", schema: entry.extend({ held: z.boolean().optional() }) },
        303: { description: "Signed, by a form" },
      },
      again: embedded ? embeddedSignAgain : signAgain,
    }, async (c, { body }) => {
      const { sql, config } = c.var.services;
      const author = authorOf(ensureVisitor(c)) ?? null;
      const held = config.MODERATION === "before" && !c.var.admin;
      const id = await nextId(sql, "entry");
      const { events: [event] } = await write(c, () => signEntry({ id, ...body, author, held }));
      if (event?.type !== "EntrySigned") throw new AppError("conflict", "not signed");
      const { data } = event;
      const json = { id: data.id, name: data.name, message: data.message, created_at: event.at };
      return done(c, {
        status: 201,
        json: data.held ? { ...json, held: true } : json,
        location: c.var.body.form ? afterSigning(c, data, base) : `/entries/${data.id}`,
      });
    }),

    endpoint({
      method: "get",
      path: `${base}/entries/mine`,
      summary: "What this visitor signed: never stored anywhere",
      tag: TAG,
      query: z.object({
        thanks: idParams.shape.id.optional(),
        changed: idParams.shape.id.optional(),
        deleted: idParams.shape.id.optional(),
      }),
      replies: { 200: { description: "This visitor's entries", schema: z.array(mine) } },
    }, async (c, { query }) => {
      const author = authorOf(c.var.visitor);
      const rows = author ? await entriesBy(c.var.services.sql, author) : [];
      const { now } = await asker(c);
      const own = rows.filter(({ state }) => state !== "hidden").map((row) => ({
        ...publicEntry(JSON.parse(JSON.stringify(row))),
        state: row.state,
        editable: now.getTime() - new Date(row.created_at).getTime() < 15 * 60_000,
      }));
      c.header("Cache-Control", "private, no-store");
      if (wantsHtml(c)) return c.html((await mineAsPage(c, own, query, place)).toString());
      return c.json(own);
    }),

    endpoint({
      method: "put",
      path: `${base}/entries/:id`,
      summary: "Change an entry: by its author for 15 minutes, by an admin always",
      tag: TAG,
      params: idParams,
      body: changes,
      replies: {
        200: { description: "Changed", schema: changed },
        303: { description: "Changed, by a form" },
        412: { description: "Changed since it was read" },
      },
      again: changeAgain,
    }, async (c, { params, body }) => {
      const who = await asker(c);
      const { events } = await write(c, async (read) => {
        const state = foldEntry(await read(entryStream(params.id)));
        return editEntry(state, { ...body, ifMatch: ifMatch(c) }, who);
      });
      return done(c, {
        json: { id: params.id, message: "Updated" },
        location: `${base}/entries/mine?changed=${params.id}`,
        etag: events.at(-1)?.version,
      });
    }),

    verb({
      method: "delete",
      path: `${base}/entries/:id`,
      summary: "Take an entry away for good: by its author for 15 minutes, by an admin always",
      tag: TAG,
      replies: STALE,
      word: "Deleted",
      next: (id) => `${base}/entries/mine?deleted=${id}`,
    }, async (read, { c, id }) => {
      const who = await asker(c);
      return eraseEntry(foldEntry(await read(entryStream(id))), who, ifMatch(c));
    }),
  ];
}

export const guestbookRoutes = [
  endpoint({
    method: "get",
    path: "/",
    summary: "The guestbook: its form, the newest entries, totals and how often it was seen",
    tag: TAG,
    replies: { 200: { description: "The guestbook", schema: home } },
  }, async (c) => {
    const { cache, config } = c.var.services;
    const visits = await seen(c, "/");
    const answer = await cache.read(NEWEST);
    const facts = JSON.parse(answer.text) as EntryPage & { total: number };
    const data: Home = {
      message: `Welcome to ${config.SITE_TITLE}`,
      visits,
      ...facts,
      cache: await cacheFacts(c.var.services),
    };
    return await show<Home>(c, { ...answer, text: JSON.stringify(data) }, {
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
    replies: { 200: { description: "A page of entries", schema: z.array(entry) } },
  }, async (c, { query }) => {
    const answer = await c.var.services.cache.read({
      key: `entries:${query.limit}:${query.before ?? ""}`,
      tags: ["entries"],
      projection: "guestbook",
      load: (sql) => shownEntries(sql, query),
    });
    return await show<EntryPage>(c, answer, {
      page: (data) => olderPage(c, data),
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
    replies: { 200: { description: "The entry", schema: entry } },
  }, async (c, { params, query }) => {
    const answer = await c.var.services.cache.read(entryQuestion(params.id));
    if (query.asOf !== undefined && answer.text !== "null") {
      return await entryAsOf(c, params.id, query.asOf);
    }
    return await show<EntryRow>(c, answer, {
      page: (data) => entryPage(c, data),
      json: publicEntry,
      etag: ({ version }) => `"${version}"`,
    });
  }),

  verb({
    ...desk,
    path: "/entries/:id/hide",
    summary: "Hide an entry",
    word: "Hidden",
  }, async (read, { id }) => hideEntry(foldEntry(await read(entryStream(id))))),

  verb({
    ...desk,
    path: "/entries/:id/restore",
    summary: "Show an entry that was hidden or held",
    word: "Restored",
  }, async (read, { id }) => restoreEntry(foldEntry(await read(entryStream(id))))),

  verb({
    ...desk,
    path: "/entries/:id/erase",
    summary: "Erase an entry for good",
    word: "Erased",
  }, async (read, { c, id }) => {
    return eraseEntry(foldEntry(await read(entryStream(id))), await asker(c));
  }),
];

/** Folded from its own stream, under today's rules of what may be seen. */
async function entryAsOf(c: Context, id: number, position: number): Promise<Response> {
  await refuseFuture(c.var.services.sql, position);
  const events = await readStream(c.var.services.sql, entryStream(id), position);
  const state = foldEntry(events);
  const today = await readEntry(c, id);
  if (!state || today?.status !== "shown") throw new AppError("not_found", "no such entry then");
  c.header("Cache-Control", "no-store");
  c.header("Tallybook-Position", String(position));
  return c.json({
    id,
    name: state.name,
    message: state.message,
    created_at: state.signedAt.toISOString(),
  });
}
