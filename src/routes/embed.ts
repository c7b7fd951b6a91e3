// A poll or the guestbook inside another site's page. Only these paths may be framed, and only by the
// sites in EMBED_ORIGINS. Forms post to paths below /embed/, where the visitor's cookie is set with the
// attributes that a frame needs.
import { z } from "zod";
import { endpoint } from "../http/endpoint.ts";
import { idParams } from "../schemas/fields.ts";
import { shareWithAll } from "../http/access.ts";
import { sendQuery } from "../http/respond.ts";
import { embeddedGuestbook } from "../pages/embed.tsx";
import { pollPage } from "../pages/polls.tsx";
import type { EntryPage } from "$projections/guestbook.ts";
import type { Poll } from "$projections/polls.ts";
import { assetText } from "../pages/assets.ts";
import { NEWEST } from "./guestbook.ts";
import { pollOr404 } from "./poll_answer.ts";
import { publicPoll } from "../schemas/polls.ts";
import { authored } from "./signing.ts";
import { voting } from "./votes.ts";

const TAG = "embed";
const FRAME = { 200: { description: "A page for a frame", type: "text/html" } };

const script = assetText("embed.js");

export const embedRoutes = [
  endpoint({
    method: "get",
    path: "/embed.js",
    summary: "Puts a poll or the guestbook into the page that loads it",
    tag: TAG,
    query: z.object({}),
    replies: { 200: { description: "A script", type: "text/javascript" } },
  }, (c) => {
    c.header("Cache-Control", "public, max-age=300");
    shareWithAll(c);
    return c.body(script, 200, { "content-type": "text/javascript; charset=utf-8" });
  }),

  endpoint({
    method: "get",
    path: "/embed/polls/:id",
    summary: "One poll, for a frame",
    tag: TAG,
    params: idParams,
    replies: FRAME,
  }, async (c, { params }) => {
    const { answer } = await pollOr404(c, params.id);
    const place = { base: "/embed/polls" as const, position: answer.position };
    return await sendQuery<Poll>(c, answer, {
      page: (poll) => pollPage(c, publicPoll(poll), place),
      onlyPage: true,
    });
  }),

  endpoint({
    method: "get",
    path: "/embed/guestbook",
    summary: "The guestbook, for a frame",
    tag: TAG,
    replies: FRAME,
  }, async (c) => {
    const answer = await c.get("services").cache.read(NEWEST);
    return await sendQuery<EntryPage & { total: number }>(c, answer, {
      page: (newest) => embeddedGuestbook(c, { ...newest, position: answer.position }),
      onlyPage: true,
    });
  }),

  ...voting("/embed/polls"),
  ...authored("/embed"),
];
