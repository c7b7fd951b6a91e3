// A visitor's actions in the guestbook: sign; see, change and delete their own entries.
import { z } from "zod";
import {
  EDIT_MINUTES,
  editEntry,
  entryStream,
  eraseEntry,
  foldEntry,
  isInEditWindow,
  signEntry,
} from "../commands/guestbook.ts";
import { AppError } from "../errors.ts";
import { type Context, wantsHtml } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { changed, idParams, text } from "../schemas/fields.ts";
import { ifMatch, sendCommandResult } from "../http/respond.ts";
import { ensureVisitor } from "../http/visitor_cookie.ts";
import { embeddedSignAgain } from "../pages/embed.tsx";
import { signAgain } from "../pages/guestbook.tsx";
import { changeAgain, mineAsPage } from "../pages/own_entries.tsx";
import { clock } from "../store/database_clock.ts";
import { nextId } from "../store/ids.ts";
import { handleCommand } from "../http/handle_command.ts";
import { entriesBy, findEntry } from "$projections/guestbook.ts";
import { entrySchema, mineSchema, publicEntry } from "../schemas/guestbook.ts";
import { asker, authorOf, isHeld } from "./entry_actor.ts";
import { rerenderWithCurrent } from "./stale.ts";
import { commandEndpoint, STALE } from "../http/command_endpoint.ts";

const TAG = "guestbook";

const name = text({ max: 100 });
const message = text({ max: 2000, lines: true });
const fields = z.object({ name, message });
const changes = z.object({ name: name.optional(), message: message.optional() });

/** Browsers go to the visitor's entries, where a held entry is visible; old clients go to "/". */
function afterSigning(c: Context, entry: { id: number; held: boolean }, base: string): string {
  const isReader = wantsHtml(c) || base !== "";
  return isReader || entry.held ? `${base}/entries/mine?thanks=${entry.id}` : "/";
}

/** The same endpoints for our own pages and for the frame in another site. */
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
        201: {
          description: "Signed",
          schema: entrySchema.extend({ held: z.boolean().optional() }),
        },
        303: { description: "Signed, by a form" },
      },
      again: embedded ? embeddedSignAgain : signAgain,
    }, async (c, { body }) => {
      const author = authorOf(ensureVisitor(c)) ?? null;
      const held = isHeld(c);
      const id = await nextId(c.get("services").sql, "entry");
      const { events: [event] } = await handleCommand(
        c,
        () => signEntry({ id, ...body, author, held }),
      );
      if (event?.type !== "EntrySigned") throw new AppError("conflict", "not signed");
      const { data } = event;
      const json = { id: data.id, name: data.name, message: data.message, created_at: event.at };
      return sendCommandResult(c, {
        status: 201,
        json: data.held ? { ...json, held: true } : json,
        location: c.get("body").form ? afterSigning(c, data, base) : `/entries/${data.id}`,
      });
    }),

    endpoint({
      method: "get",
      path: `${base}/entries/mine`,
      summary: "This visitor's entries; caches never store the answer",
      tag: TAG,
      query: z.object({
        thanks: idParams.shape.id.optional(),
        changed: idParams.shape.id.optional(),
        deleted: idParams.shape.id.optional(),
      }),
      replies: { 200: { description: "This visitor's entries", schema: z.array(mineSchema) } },
    }, async (c, { query }) => {
      const author = authorOf(c.get("visitor"));
      const rows = author ? await entriesBy(c.get("services").sql, author) : [];
      const now = await clock(c.get("services").sql);
      const own = rows.filter(({ state }) => state !== "hidden").map((row) => ({
        ...publicEntry(JSON.parse(JSON.stringify(row))),
        state: row.state,
        version: row.version,
        editable: isInEditWindow(new Date(row.created_at), now),
      }));
      c.header("Cache-Control", "private, no-store");
      if (wantsHtml(c)) return c.html((await mineAsPage(c, own, query, place)).toString());
      return c.json(own);
    }),

    endpoint({
      method: "put",
      path: `${base}/entries/:id`,
      summary: `Change an entry: by its author for ${EDIT_MINUTES} minutes, by an admin always`,
      tag: TAG,
      params: idParams,
      body: changes,
      replies: {
        200: { description: "Changed", schema: changed.extend({ held: z.boolean().optional() }) },
        303: { description: "Changed, by a form" },
        412: { description: "Changed since it was read" },
      },
      again: (c, refused) => rerenderWithCurrent(c, refused, findEntry, changeAgain),
    }, async (c, { params, body }) => {
      const who = await asker(c);
      const { events } = await handleCommand(c, async (read) => {
        const state = foldEntry(await read(entryStream(params.id)));
        return editEntry(state, { ...body, held: isHeld(c), ifMatch: ifMatch(c) }, who);
      });
      const [event] = events;
      const held = event?.type === "EntryEdited" && event.data.held;
      return sendCommandResult(c, {
        json: { id: params.id, message: "Updated", ...(held ? { held } : {}) },
        location: `${base}/entries/mine?changed=${params.id}`,
        etag: event?.version,
      });
    }),

    commandEndpoint({
      method: "delete",
      path: `${base}/entries/:id`,
      summary: `Erase an entry: by its author for ${EDIT_MINUTES} minutes, by an admin always`,
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
