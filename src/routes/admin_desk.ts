// The pages of the admin desk. The actions are in the file of each noun.
import { z } from "zod";
import { AppError } from "../errors.ts";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { dateTime, idParams, newestFirst, position, searchTerm } from "../schemas/fields.ts";
import { adminEntriesPage } from "../pages/admin_entries.tsx";
import { adminEventPage, adminLogPage, type OneEvent } from "../pages/admin_log.tsx";
import { adminPollPage, adminPollsPage } from "../pages/admin_polls.tsx";
import {
  adminCachesPage,
  adminHealthPage,
  adminProjectionsPage,
  adminVerifyPage,
} from "../pages/admin_works.tsx";
import { projectionStates } from "../projector/projector.ts";
import { decode, readHead, readNewest, readStored, type StoredEvent } from "../store/read.ts";
import { entriesIn } from "$projections/guestbook.ts";
import { findPoll, listPolls } from "$projections/polls.ts";
import { healthOf } from "../observability/health.ts";

const TAG = "admin";
const PAGE = 30;
const LOG_PAGE = 50;

const replies = { 200: { description: "A page", type: "text/html" } };

/** A page of the desk: needs the admin token, and is never stored by a cache. */
function deskPage<Params extends z.ZodType, Query extends z.ZodType>(
  spec: { path: string; summary: string; params?: Params; query?: Query },
  page: (
    c: Context,
    input: { params: z.output<Params>; query: z.output<Query> },
  ) => Promise<string> | string,
) {
  return endpoint(
    { method: "get", tag: TAG, access: "admin", replies, ...spec },
    async (c, input) => {
      c.header("Cache-Control", "no-store");
      return c.html(await page(c, input));
    },
  );
}

const state = z.enum(["held", "shown", "hidden"]);
const optional = searchTerm(200).transform((value) => value === "" ? undefined : value)
  .optional();

export const deskRoutes = [
  deskPage({
    path: "/admin/entries",
    summary: "Entries to approve, hide, restore and erase",
    query: z.object({ state: state.optional(), before: idParams.shape.id.optional() }),
  }, async (c, { query: { state: asked, before } }) => {
    const { sql, config } = c.get("services");
    const state = asked ?? (config.MODERATION === "before" ? "held" : "shown");
    const found = await entriesIn(sql, state, { limit: PAGE + 1, before });
    const entries = found.slice(0, PAGE);
    const next = found.length > PAGE ? entries.at(-1)?.id : undefined;
    return adminEntriesPage(c, { entries, state, next, paged: before !== undefined });
  }),

  deskPage({
    path: "/admin/polls",
    summary: "Polls to open, change, close, reopen and delete",
    query: newestFirst,
  }, async (c, { query }) => {
    const found = await listPolls(c.get("services").sql, query);
    return adminPollsPage(c, { ...found, paged: query.before !== undefined });
  }),

  deskPage({
    path: "/admin/polls/:id",
    summary: "One poll to change",
    params: idParams,
  }, async (c, { params }) => {
    const poll = await findPoll(c.get("services").sql, params.id);
    if (!poll) throw new AppError("not_found", "no such poll");
    return adminPollPage(c, JSON.parse(JSON.stringify(poll)));
  }),

  deskPage({
    path: "/admin/log",
    summary: "The log, newest first, by stream, type and time",
    query: z.object({
      stream: optional,
      type: optional,
      from: dateTime.optional(),
      to: dateTime.optional(),
      before: position.optional(),
    }),
  }, async (c, { query: { stream, type, from, to, before } }) => {
    const { position: head } = await readHead(c.get("services").sql);
    const found = await readNewest(c.get("services").sql, {
      ...{ stream, type, before, limit: LOG_PAGE + 1 },
      from: from ?? undefined,
      to: to ?? undefined,
    });
    const events = found.slice(0, LOG_PAGE);
    const next = found.length > LOG_PAGE ? events.at(-1)?.position : undefined;
    const minute = (at?: Date | null) => at?.toISOString().slice(0, 16);
    const filter = { stream, type, from: minute(from), to: minute(to) };
    return adminLogPage(c, { events, filter, head, before, next });
  }),

  deskPage({
    path: "/admin/log/:position",
    summary: "One event in full",
    params: z.object({ position }),
  }, async (c, { params }) => {
    const { sql } = c.get("services");
    const at = { after: params.position - 1, until: params.position, limit: 1 };
    const [stored] = await readStored(sql, at);
    if (!stored) throw new AppError("not_found", "the log has not come that far");
    return adminEventPage(c, await readable(c, stored));
  }),

  deskPage({
    path: "/admin/projections",
    summary: "The positions of the read models, and the progress of a replay",
  }, async (c) => {
    const { sql, projectionSupervisor } = c.get("services");
    const states = await projectionStates(sql);
    const head = await readHead(sql);
    return adminProjectionsPage(c, {
      states,
      head: head.position,
      replaying: projectionSupervisor.replaying?.name,
    });
  }),

  deskPage({
    path: "/admin/caches",
    summary: "Hit rates of the caches",
  }, async (c) => {
    const { cache, hitHistory } = c.get("services");
    await hitHistory.note();
    const [history, keys] = [await hitHistory.read(), await cache.backend.keys().catch(() => [])];
    const counts = [...history].map(([kind, slots]) => ({
      kind,
      hits: slots.reduce((sum, { hits }) => sum + hits, 0),
      misses: slots.reduce((sum, { misses }) => sum + misses, 0),
      keys: keys.find((one) => one.kind === kind)?.count ?? 0,
    })).sort((a, b) => a.kind.localeCompare(b.kind));
    return adminCachesPage(c, { counts, history });
  }),

  deskPage({
    path: "/admin/health",
    summary: "The health of the service and its dependencies",
  }, async (c) => adminHealthPage(c, await healthOf(c.get("services")))),

  deskPage({
    path: "/admin/verify",
    summary: "The page from which the log can be verified",
  }, (c) => adminVerifyPage(c)),
];

/** An event that does not match its current schema is shown as it is stored. */
async function readable(c: Context, stored: StoredEvent): Promise<OneEvent> {
  try {
    const [event] = await decode(c.get("services").sql, [stored]);
    const { data = stored.data, erased = false, unreadable } = event ?? {};
    return { stored, data, erased, unreadable };
  } catch (error) {
    if (error instanceof AppError) return { stored, data: stored.data, erased: false };
    throw error;
  }
}
