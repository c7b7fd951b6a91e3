// Votes: cast, change and withdraw one, and read one's own.
import { z } from "zod";
import {
  ballotStream,
  castVote,
  foldBallot,
  foldPoll,
  pollStream,
  withdrawVote,
} from "../commands/polls.ts";
import { AppError } from "../errors.ts";
import type { RejectedForm } from "../http/context.ts";
import { type Context, wantsHtml } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { idParams } from "../schemas/fields.ts";
import { sendCommandResult } from "../http/respond.ts";
import { digestFor, ensureVisitor } from "../http/visitor_cookie.ts";
import { ballotPage, pollPage } from "../pages/polls.tsx";
import { readStream } from "../store/read.ts";
import { handleCommand } from "../http/handle_command.ts";
import { DEFAULT_POLL } from "$projections/polls.ts";
import { pollOr404 } from "./poll_answer.ts";
import {
  ballotInput,
  type MyVote,
  myVoteSchema,
  publicPoll,
  receiptOf,
  resultsOf,
  resultsShown,
  voteSchema,
} from "../schemas/polls.ts";
import { commandEndpoint } from "../http/command_endpoint.ts";

const TAG = "polls";

/** A voter has a different digest in each poll, so that votes in two polls cannot be linked. */
function voterIn(poll: number, visitor: string): string {
  return digestFor(`poll-${poll}`, visitor);
}

type Cast = { status: 200 | 201; receipt: string; position: number; options: string[] };

async function cast(c: Context, poll: number, options: string[]): Promise<Cast> {
  const isNew = c.get("visitor") === undefined && c.req.header("idempotency-key") === undefined;
  const voter = voterIn(poll, ensureVisitor(c));
  const stream = ballotStream(poll, voter);
  const { events: [event], position } = await handleCommand(c, async (read) => {
    const state = foldPoll(await read(pollStream(poll)));
    return castVote(state, foldBallot(isNew ? [] : await read(stream)), { voter, options });
  });
  const vote = event ?? (await readStream(c.get("services").sql, stream, position)).at(-1);
  if (vote?.type !== "VoteCast" && vote?.type !== "VoteChanged") {
    throw new AppError("conflict", "the vote was withdrawn meanwhile");
  }
  return {
    status: event?.type === "VoteCast" ? 201 : 200,
    receipt: receiptOf(vote),
    position: event ? position : vote.position,
    options: vote.data.options,
  };
}

/** The same endpoints for our own pages and for the frame in another site. */
export function voting(base: "/polls" | "/embed/polls") {
  return [
    endpoint({
      method: "post",
      path: `${base}/:id/votes`,
      summary: "Cast or change this voter's vote",
      tag: TAG,
      params: idParams,
      body: ballotInput,
      replies: {
        200: { description: "Changed, or as it was", schema: voteSchema },
        201: { description: "Cast", schema: voteSchema },
        303: { description: "Cast, by a form" },
        409: { description: "The poll is closed" },
      },
      again: (c, refused) => voteAgain(c, base, refused),
    }, async (c, { params, body }) => {
      const { status, ...json } = await cast(c, params.id, body.option);
      return sendCommandResult(c, {
        status,
        json,
        location: `${base}/${params.id}/mine?thanks=${json.receipt}`,
      });
    }),

    commandEndpoint({
      method: "delete",
      path: `${base}/:id/votes`,
      summary: "Withdraw this voter's vote",
      tag: TAG,
      replies: { 409: { description: "The poll is closed" } },
      word: "Withdrawn",
      next: (id) => `${base}/${id}/mine?withdrawn=1`,
    }, async (read, { c, id }) => {
      const visitor = c.get("visitor");
      if (visitor === undefined) throw new AppError("not_found", "no vote to withdraw");
      const voter = voterIn(id, visitor);
      const poll = foldPoll(await read(pollStream(id)));
      return withdrawVote(poll, foldBallot(await read(ballotStream(id, voter))), voter);
    }),

    endpoint({
      method: "get",
      path: `${base}/:id/mine`,
      summary: "This voter's vote, and the results if voting reveals them; caches never store it",
      tag: TAG,
      params: idParams,
      query: z.object({
        thanks: z.string().max(60).optional(),
        withdrawn: z.string().max(1).optional(),
      }),
      replies: { 200: { description: "The vote, or none", schema: myVoteSchema } },
    }, async (c, { params, query }) => {
      const { poll, answer } = await pollOr404(c, params.id);
      const visitor = c.get("visitor");
      const events = visitor
        ? await c.get("services").streams.read(ballotStream(params.id, voterIn(params.id, visitor)))
        : [];
      const { options } = foldBallot(events);
      const vote = options.length > 0 ? events.at(-1) : undefined;
      const mine: MyVote = {
        options,
        receipt: vote ? receiptOf(vote) : null,
        position: vote?.position ?? null,
        results: resultsShown(poll, options.length > 0) ? resultsOf(poll) : null,
      };
      c.header("Cache-Control", "private, no-store");
      if (wantsHtml(c)) {
        const { position } = answer;
        return c.html(ballotPage(c, { poll: publicPoll(poll), mine, query, base, position }));
      }
      return c.json(mine);
    }),
  ];
}

async function voteAgain(c: Context, base: "/polls" | "/embed/polls", refused: RejectedForm) {
  const { poll, answer } = await pollOr404(c, Number(c.req.param("id")));
  return pollPage(c, publicPoll(poll), { base, position: answer.position, refused });
}

/** The vote call of the old system: the default poll, and an answer with the status "Queued". */
export const oldVote = endpoint({
  method: "post",
  path: "/vote",
  summary: "Vote in the default poll, as the old clients do",
  tag: TAG,
  body: ballotInput,
  replies: {
    200: {
      description: "Counted: durable before this answer",
      schema: voteSchema.extend({ status: z.string(), message: z.string() }),
    },
    303: { description: "Counted, by a form" },
    404: { description: "There is no default poll" },
    409: { description: "The poll is closed" },
  },
}, async (c, { body }) => {
  const { status: _, ...vote } = await cast(c, DEFAULT_POLL, body.option);
  return sendCommandResult(c, {
    json: { status: "Queued", message: "Vote received", ...vote },
    location: `/polls/${DEFAULT_POLL}/mine?thanks=${vote.receipt}`,
  });
});
