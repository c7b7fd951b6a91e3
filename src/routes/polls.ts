// Polls: reading, opening and changing them. See votes.ts, results.ts and receipts.ts for the rest.
import { z } from "zod";
import {
  changePoll,
  closePoll,
  deletePoll,
  foldPoll,
  openPoll,
  pollStream,
  reopenPoll,
} from "../commands/polls.ts";
import { AppError } from "../errors.ts";
import { endpoint } from "../http/endpoint.ts";
import { changed, dateTime, idParams, newestFirst } from "../schemas/fields.ts";
import { ifMatch, nextLink, sendCommandResult, sendQuery } from "../http/respond.ts";
import { pollAgain } from "../pages/admin_polls.tsx";
import { pollPage, pollsPage } from "../pages/polls.tsx";
import { clock } from "../store/database_clock.ts";
import { nextId } from "../store/ids.ts";
import { handleCommand } from "../http/handle_command.ts";
import { findPoll, listPolls, type Poll, type PollPage } from "$projections/polls.ts";
import { pollAnswer } from "./poll_answer.ts";
import {
  named,
  pollChange,
  pollInput,
  pollSchema,
  publicPoll,
  reworded,
} from "../schemas/polls.ts";
import { receiptRoute } from "./receipts.ts";
import { resultsRoutes } from "./results.ts";
import { rerenderWithCurrent } from "./stale.ts";
import { commandEndpoint, STALE } from "../http/command_endpoint.ts";
import { oldVote, voting } from "./votes.ts";

const TAG = "polls";

const DESK = "/admin/polls";

export const pollsRoutes = [
  endpoint({
    method: "get",
    path: "/polls",
    summary: "Polls, newest first",
    tag: TAG,
    query: newestFirst,
    replies: { 200: { description: "A page of polls", schema: z.array(pollSchema) } },
  }, async (c, { query }) => {
    const answer = await c.get("services").cache.read({
      key: `polls:${query.limit}:${query.before ?? ""}`,
      tags: ["polls", "votes"],
      projection: "polls",
      load: (sql) => listPolls(sql, query),
    });
    return await sendQuery<PollPage>(c, answer, {
      page: ({ polls, next }) =>
        pollsPage(c, { polls: polls.map(publicPoll), next, paged: query.before !== undefined }),
      json: ({ polls }) => polls.map(publicPoll),
      link: ({ next }) =>
        next === null ? undefined : nextLink("/polls", { limit: query.limit, before: next }),
    });
  }),

  endpoint({
    method: "get",
    path: "/polls/:id",
    summary: "One poll",
    tag: TAG,
    params: idParams,
    replies: { 200: { description: "The poll", schema: pollSchema } },
  }, async (c, { params }) => {
    const answer = await pollAnswer(c, params.id);
    return await sendQuery<Poll>(c, answer, {
      page: (poll) => pollPage(c, publicPoll(poll), answer),
      json: publicPoll,
      // A vote changes the numbers but not the poll's version, so the tag needs the position, too.
      etag: (poll) => `"${poll.version}.${answer.position}"`,
    });
  }),

  endpoint({
    method: "post",
    path: "/polls",
    summary: "Open a poll",
    tag: TAG,
    access: "admin",
    body: pollInput,
    replies: {
      201: { description: "Opened", schema: changed },
      303: { description: "Opened, by a form" },
    },
    again: pollAgain,
  }, async (c, { body: { options, closes_at: closesAt, ...body } }) => {
    const id = await nextId(c.get("services").sql, "poll");
    const at = await clock(c.get("services").sql);
    const { events: [event] } = await handleCommand(
      c,
      () => openPoll(id, { ...body, options: named(options), closesAt }, at),
    );
    if (event?.type !== "PollOpened") throw new AppError("conflict", "not opened");
    return sendCommandResult(c, {
      status: 201,
      json: { id: event.data.id, message: "Created" },
      location: `/polls/${event.data.id}`,
    });
  }),

  endpoint({
    method: "put",
    path: "/polls/:id",
    summary: "Change a poll: options may be added and reworded, never taken away",
    tag: TAG,
    access: "admin",
    params: idParams,
    body: pollChange,
    replies: {
      200: { description: "Updated", schema: changed },
      303: { description: "Updated, by a form" },
      412: { description: "Changed since it was read" },
    },
    again: (c, refused) => rerenderWithCurrent(c, refused, findPoll, pollAgain),
  }, async (c, { params, body: { options, closes_at: closesAt, ...body } }) => {
    const at = await clock(c.get("services").sql);
    const { events } = await handleCommand(c, async (read) => {
      const state = foldPoll(await read(pollStream(params.id)));
      const given = c.get("body").form && options ? reworded(options, state?.options) : options;
      const withIds = given ? { options: named(given, state?.options) } : {};
      return changePoll(state, { ...body, ...withIds, closesAt, ifMatch: ifMatch(c) }, at);
    });
    return sendCommandResult(c, {
      json: { id: params.id, message: "Updated" },
      location: `/polls/${params.id}`,
      etag: events.at(-1)?.version,
    });
  }),

  commandEndpoint({
    method: "delete",
    path: "/polls/:id",
    summary: "Delete a poll: no read shows it any more",
    tag: TAG,
    access: "admin",
    replies: STALE,
    word: "Deleted",
    next: DESK,
  }, async (read, { c, id }) => deletePoll(foldPoll(await read(pollStream(id))), ifMatch(c))),

  commandEndpoint({
    method: "post",
    path: "/polls/:id/close",
    summary: "Close a poll now",
    tag: TAG,
    access: "admin",
    replies: STALE,
    word: "Closed",
    next: DESK,
  }, async (read, { c, id }) => {
    return closePoll(foldPoll(await read(pollStream(id))), "admin", ifMatch(c));
  }),

  commandEndpoint({
    method: "post",
    path: "/polls/:id/reopen",
    summary: "Open a closed poll again",
    tag: TAG,
    access: "admin",
    body: z.object({ closes_at: dateTime.default(null) }),
    replies: STALE,
    word: "Reopened",
    next: DESK,
  }, async (read, { c, id, body }) => {
    const at = await clock(c.get("services").sql);
    const reopening = { closesAt: body.closes_at, ifMatch: ifMatch(c) };
    return reopenPoll(foldPoll(await read(pollStream(id))), reopening, at);
  }),

  ...voting("/polls"),
  oldVote,
  receiptRoute,
  ...resultsRoutes,
];
