// Server-sent events: poll results, new entries and the log. `id` is a position of the log, so a
// disconnected page resumes where it stopped and never shows an older number after a newer one.
import { z } from "zod";
import type { EventType, Recorded } from "$events/mod.ts";
import { shownEntries, shownTotal } from "$projections/guestbook.ts";
import { findPoll, type Poll } from "$projections/polls.ts";
import type { Sql } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { idParams, position } from "../schemas/fields.ts";
import { MAX_BEHIND, type Message, type Topic } from "../live/channels.ts";
import { readHead, readReadable, readStored } from "../store/read.ts";
import { lineOf } from "../store/export_import.ts";
import { filters } from "./log.ts";
import { publicPoll } from "../schemas/polls.ts";

const PAGE = 100;
/** The number of entries on the guestbook's first page. */
const NEWEST = 10;
const STREAM = { "content-type": "text/event-stream" };

async function live(c: Context, topic: Topic, after: number | undefined): Promise<Response> {
  const { live, freshness, sql, config } = c.get("services");
  c.header("Cache-Control", "no-store");
  c.header("X-Accel-Buffering", "no");
  // The stream of a HEAD would never be read or closed.
  if (c.req.raw.method === "HEAD") return c.body(null, 200, STREAM);
  const given = position.safeParse(c.req.header("last-event-id"));
  const { position: head } = await readHead(sql);
  const seen = given.success ? given.data : after;
  return c.body(
    live.join(topic, {
      since: seen !== undefined && seen <= head ? seen : undefined,
      visible: (position) => freshness.waitFor(position, config.VISIBLE_WAIT_MS),
    }),
    200,
    STREAM,
  );
}

/**
 * Reads the read model, not the cache: the read model changes in the transaction of the append, while a
 * cached answer may not be invalidated yet.
 */
async function pollMessage(sql: Sql, id: number): Promise<Message[]> {
  const { position } = await readHead(sql);
  const found = await findPoll(sql, id);
  if (!found) return [];
  const poll: Poll = JSON.parse(JSON.stringify(found));
  return [{ id: position, event: "poll", data: JSON.stringify(publicPoll(poll)) }];
}

const ENTRY_TYPES: EventType[] = [
  "EntrySigned",
  "EntryEdited",
  "EntryHidden",
  "EntryRestored",
  "EntryErased",
];

async function entryMessages(sql: Sql, events: Recorded[], last: number): Promise<Message[]> {
  const total = await shownTotal(sql);
  const added = events.flatMap((event) =>
    event.type === "EntrySigned" && !event.data.held && !event.erased ? [event.data.id] : []
  );
  added.push(...await approved(sql, events));
  return [{ id: last, event: "entries", data: JSON.stringify({ added, total }) }];
}

/** Ids of approved entries. An approved entry is new to readers; an old one that is restored is not. */
async function approved(sql: Sql, events: Recorded[]): Promise<number[]> {
  const ids = new Set(events.flatMap((e) => e.type === "EntryRestored" ? [e.data.id] : []));
  if (ids.size === 0) return [];
  const { entries } = await shownEntries(sql, { limit: NEWEST });
  return entries.map(({ id }) => id).filter((id) => ids.has(id));
}

/**
 * Reads the messages after a position page by page, and stops after MAX_BEHIND: the hub then disconnects
 * the subscriber, which reconnects for the rest. So a million missed events are never in memory at once.
 */
async function pages(after: number, page: (after: number) => Promise<Message[]>) {
  const found: Message[] = [];
  for (let last = after;;) {
    const messages = await page(last);
    found.push(...messages);
    if (messages.length === 0 || found.length > MAX_BEHIND) return found;
    last = messages.at(-1)?.id ?? last;
  }
}

function pollTopic(sql: Sql, id: number): Topic {
  const current = () => pollMessage(sql, id);
  return {
    key: `poll ${id}`,
    concerns: ({ type, data }) =>
      (type.startsWith("Vote") && "poll" in data && data.poll === id) ||
      (type.startsWith("Poll") && "id" in data && data.id === id),
    tell: current,
    missed: current,
    now: current,
  };
}

function entriesTopic(sql: Sql): Topic {
  return {
    key: "entries",
    concerns: ({ type }) => type.startsWith("Entry"),
    tell: (events) => entryMessages(sql, events, events.at(-1)?.position ?? 0),
    missed: (position) =>
      pages(position, async (after) => {
        const page = { after, types: ENTRY_TYPES, limit: PAGE };
        const { events, last } = await readReadable(sql, page);
        return last === undefined ? [] : await entryMessages(sql, events, last);
      }),
  };
}

type Filters = z.output<typeof filters>;

function logTopic(sql: Sql, { stream, type }: Filters): Topic {
  const types = type?.split(",");
  const read = async (after: number, until?: number): Promise<Message[]> => {
    const rows = await readStored(sql, { after, until, stream, types, limit: PAGE });
    return rows.map((row) => ({ id: row.position, event: "event", data: lineOf(row) }));
  };
  return {
    key: `log ${JSON.stringify([stream, type])}`,
    concerns: (event) =>
      (stream === undefined || event.stream === stream) &&
      (types === undefined || types.includes(event.type)),
    async tell(events) {
      const last = events.at(-1)?.position ?? 0;
      const found = await pages((events[0]?.position ?? 1) - 1, (after) => read(after, last));
      return found;
    },
    missed: (position) => pages(position, (after) => read(after)),
  };
}

const replies = { 200: { description: "A stream of events", type: "text/event-stream" } };
/** `after`: the position that a page was rendered at, for its first connection. */
const query = z.object({ after: position.optional() });

export const liveRoutes = [
  endpoint({
    method: "get",
    path: "/polls/:id/live",
    summary: "A poll as its votes come in",
    tag: "polls",
    params: idParams,
    query,
    replies,
  }, async (c, { params, query }) => {
    const { sql } = c.get("services");
    if (!await findPoll(sql, params.id)) throw new AppError("not_found", "no such poll");
    return await live(c, pollTopic(sql, params.id), query.after);
  }),

  endpoint({
    method: "get",
    path: "/entries/live",
    summary: "New entries as they are signed",
    tag: "guestbook",
    query,
    replies,
  }, (c, { query }) => live(c, entriesTopic(c.get("services").sql), query.after)),

  endpoint(
    {
      method: "get",
      path: "/events/live",
      summary: "The log as it grows, personal fields as they are stored: encrypted",
      tag: "log",
      access: "admin",
      query: filters.extend(query.shape),
      replies,
    },
    (c, { query: { after, ...filter } }) => live(c, logTopic(c.get("services").sql, filter), after),
  ),
];
