// Polls: opening and closing them, voting, results, receipts and ballots.
import { z } from "zod";
import {
  ballotStream,
  castVote,
  changePoll,
  closePoll,
  deletePoll,
  foldBallot,
  foldPoll,
  openPoll,
  pollStream,
  reopenPoll,
  withdrawVote,
} from "../commands/polls.ts";
import type { Answer } from "../cache/tier.ts";
import { AppError } from "../errors.ts";
import type { Refused } from "../http/again.ts";
import { type Context, wantsHtml } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { asOf, id, idParams, isoDate, moment, newestFirst } from "../http/fields.ts";
import { done, ifMatch, nextLink, show } from "../http/reply.ts";
import { digestFor, ensureVisitor } from "../http/visitor.ts";
import { pollAgain } from "../pages/admin_polls.tsx";
import { ballotPage, pollPage, pollsPage, receiptPage } from "../pages/polls.tsx";
import { signHead } from "../store/heads.ts";
import { nextId } from "../store/ids.ts";
import { readHead, readReadable, readStream } from "../store/read.ts";
import { refuseFuture } from "./as_of.ts";
import { write } from "../write.ts";
import {
  ballotAt,
  ballotsAt,
  DEFAULT_POLL,
  findPoll,
  firstBallot,
  listPolls,
  type Poll,
  type PollPage,
  tallyAt,
} from "$projections/polls.ts";
import {
  ballotInput,
  ballotSchema,
  named,
  pollChange,
  pollInput,
  pollSchema,
  publicPoll,
  receiptOf,
  refuseHidden,
  type Results,
  resultsCsv,
  resultsOf,
  resultsSchema,
  resultsShown,
  reworded,
  voteSchema,
} from "./poll_fields.ts";

const TAG = "polls";
const NDJSON_PAGE = 1000;

const changed = z.object({ id, message: z.string() });
const mineSchema = z.object({
  options: z.array(z.string()),
  receipt: z.string().nullable(),
  position: z.int().nullable(),
  results: resultsSchema.nullable(),
});
const receiptSchema = z.object({
  receipt: z.string(),
  counted: z.boolean(),
  poll: id,
  position: z.int(),
  seal: z.string(),
  at: isoDate,
  head: z.object({
    position: z.int(),
    seal: z.string(),
    at: isoDate,
    key: z.string(),
    signature: z.string(),
  }),
});

export type MyVote = z.infer<typeof mineSchema>;
export type Receipt = z.infer<typeof receiptSchema>;

function pollAnswer(c: Context, id: number): Promise<Answer> {
  return c.var.services.cache.read({
    key: `poll:${id}`,
    tags: [`poll:${id}`],
    projection: "polls",
    load: (sql) => findPoll(sql, id),
  });
}

export async function pollOr404(c: Context, id: number): Promise<{ poll: Poll; answer: Answer }> {
  const answer = await pollAnswer(c, id);
  const poll = JSON.parse(answer.text) as Poll | null;
  if (!poll) throw new AppError("not_found", "no such poll");
  return { poll, answer };
}

/** One ballot a voter and poll: two polls see two strangers. */
function voterIn(poll: number, visitor: string): string {
  return digestFor(`poll-${poll}`, visitor);
}

async function now(c: Context): Promise<Date> {
  const [row] = await c.var.services.sql<{ now: Date }[]>`select clock_timestamp() as now`;
  return row?.now ?? new Date();
}

type Cast = { status: 200 | 201; receipt: string; position: number; options: string[] };

async function cast(c: Context, poll: number, options: string[]): Promise<Cast> {
  const isNew = c.var.visitor === undefined && c.req.header("idempotency-key") === undefined;
  const voter = voterIn(poll, ensureVisitor(c));
  const stream = ballotStream(poll, voter);
  const { events: [event], position } = await write(c, async (read) => {
    const state = foldPoll(await read(pollStream(poll)));
    return castVote(state, foldBallot(isNew ? [] : await read(stream)), { voter, options });
  });
  const vote = event ?? (await readStream(c.var.services.sql, stream, position)).at(-1);
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

/** What a voter does: on our own pages, and in the frame of another site. */
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
      return done(c, {
        status,
        json,
        location: `${base}/${params.id}/mine?thanks=${json.receipt}`,
      });
    }),

    endpoint({
      method: "delete",
      path: `${base}/:id/votes`,
      summary: "Withdraw this voter's vote",
      tag: TAG,
      params: idParams,
      replies: {
        200: { description: "Withdrawn", schema: changed },
        303: { description: "Withdrawn, by a form" },
        409: { description: "The poll is closed" },
      },
    }, async (c, { params }) => {
      const { visitor } = c.var;
      if (visitor === undefined) throw new AppError("not_found", "no vote to withdraw");
      const voter = voterIn(params.id, visitor);
      await write(c, async (read) =>
        withdrawVote(
          foldPoll(await read(pollStream(params.id))),
          foldBallot(await read(ballotStream(params.id, voter))),
          voter,
        ));
      return done(c, {
        json: { id: params.id, message: "Withdrawn" },
        location: `${base}/${params.id}/mine?withdrawn=1`,
      });
    }),

    endpoint({
      method: "get",
      path: `${base}/:id/mine`,
      summary: "This voter's vote, and the results where voting opens them: never stored anywhere",
      tag: TAG,
      params: idParams,
      query: z.object({
        thanks: z.string().max(60).optional(),
        withdrawn: z.string().max(1).optional(),
      }),
      replies: { 200: { description: "The vote, or none", schema: mineSchema } },
    }, async (c, { params, query }) => {
      const { poll, answer } = await pollOr404(c, params.id);
      const { visitor } = c.var;
      const events = visitor
        ? await c.var.services.streams.read(ballotStream(params.id, voterIn(params.id, visitor)))
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

async function voteAgain(c: Context, base: "/polls" | "/embed/polls", refused: Refused) {
  const { poll, answer } = await pollOr404(c, Number(c.req.param("id")));
  return pollPage(c, publicPoll(poll), { base, position: answer.position, refused });
}

export const pollsRoutes = [
  endpoint({
    method: "get",
    path: "/polls",
    summary: "Polls, newest first",
    tag: TAG,
    query: newestFirst,
    replies: { 200: { description: "A page of polls", schema: z.array(pollSchema) } },
  }, async (c, { query }) => {
    const answer = await c.var.services.cache.read({
      key: `polls:${query.limit}:${query.before ?? ""}`,
      tags: ["polls", "votes"],
      projection: "polls",
      load: (sql) => listPolls(sql, query),
    });
    return await show<PollPage>(c, answer, {
      page: (data) => pollsPage(c, { ...data, polls: data.polls.map(publicPoll) }),
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
    return await show<Poll>(c, answer, {
      page: (poll) => pollPage(c, publicPoll(poll), answer),
      json: publicPoll,
      // Votes move what is shown and leave the version alone.
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
      201: { description: "Opened", schema: z.object({ id, message: z.string() }) },
      303: { description: "Opened, by a form" },
    },
    again: pollAgain,
  }, async (c, { body: { options, closes_at: closesAt, ...body } }) => {
    const id = await nextId(c.var.services.sql, "poll");
    const at = await now(c);
    const { events: [event] } = await write(
      c,
      () => openPoll(id, { ...body, options: named(options), closesAt }, at),
    );
    if (event?.type !== "PollOpened") throw new AppError("conflict", "not opened");
    return done(c, {
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
    again: pollAgain,
  }, async (c, { params, body: { options, closes_at: closesAt, ...body } }) => {
    const at = await now(c);
    const { events } = await write(c, async (read) => {
      const state = foldPoll(await read(pollStream(params.id)));
      const given = c.var.body.form && options ? reworded(options, state?.options) : options;
      const named_ = given ? { options: named(given, state?.options) } : {};
      return changePoll(state, { ...body, ...named_, closesAt, ifMatch: ifMatch(c) }, at);
    });
    return done(c, {
      json: { id: params.id, message: "Updated" },
      location: `/polls/${params.id}`,
      etag: events.at(-1)?.version,
    });
  }),

  endpoint({
    method: "delete",
    path: "/polls/:id",
    summary: "Take a poll out of every read",
    tag: TAG,
    access: "admin",
    params: idParams,
    replies: {
      200: { description: "Deleted", schema: changed },
      303: { description: "Deleted, by a form" },
      412: { description: "Changed since it was read" },
    },
  }, async (c, { params }) => {
    await write(
      c,
      async (read) => deletePoll(foldPoll(await read(pollStream(params.id))), ifMatch(c)),
    );
    return done(c, { json: { id: params.id, message: "Deleted" }, location: "/admin/polls" });
  }),

  endpoint({
    method: "post",
    path: "/polls/:id/close",
    summary: "Close a poll now",
    tag: TAG,
    access: "admin",
    params: idParams,
    replies: {
      200: { description: "Closed", schema: changed },
      303: { description: "Closed, by a form" },
    },
  }, async (c, { params }) => {
    await write(
      c,
      async (read) => closePoll(foldPoll(await read(pollStream(params.id))), "admin"),
    );
    return done(c, { json: { id: params.id, message: "Closed" }, location: "/admin/polls" });
  }),

  endpoint({
    method: "post",
    path: "/polls/:id/reopen",
    summary: "Open a closed poll again",
    tag: TAG,
    access: "admin",
    params: idParams,
    body: z.object({ closes_at: moment.default(null) }),
    replies: {
      200: { description: "Reopened", schema: changed },
      303: { description: "Reopened, by a form" },
    },
  }, async (c, { params, body }) => {
    const at = await now(c);
    await write(
      c,
      async (read) => reopenPoll(foldPoll(await read(pollStream(params.id))), body.closes_at, at),
    );
    return done(c, { json: { id: params.id, message: "Reopened" }, location: "/admin/polls" });
  }),

  ...voting("/polls"),

  endpoint({
    method: "get",
    path: "/receipts/:receipt",
    summary: "Whether a vote is counted, where, and under which seal and signed head",
    tag: TAG,
    params: z.object({ receipt: z.string() }),
    replies: { 200: { description: "What became of it", schema: receiptSchema } },
  }, async (c, { params }) => {
    const { sql, secrets } = c.var.services;
    const position = Number(params.receipt.match(/^(\d{1,15})-[0-9a-f]{32}$/)?.[1] ?? 0);
    const { events: [event] } = await readReadable(sql, { after: position - 1, until: position });
    if (position === 0 || !event || receiptOf(event) !== params.receipt) {
      throw new AppError("not_found", "no such receipt");
    }
    if (event.type !== "VoteCast" && event.type !== "VoteChanged") {
      throw new AppError("not_found", "no such receipt");
    }
    const { poll } = event.data;
    const counted = await ballotAt(sql, poll, position) && await findPoll(sql, poll) !== undefined;
    const head = signHead(secrets.signing, await readHead(sql), await now(c));
    c.header("Cache-Control", "no-store");
    const at = event.at.toISOString();
    const found = { receipt: params.receipt, counted, poll, position, seal: event.seal, at, head };
    return wantsHtml(c) ? c.html(receiptPage(c, found)) : c.json(found);
  }),

  endpoint({
    method: "get",
    path: "/polls/:id/ballots",
    summary: "Every ballot without its voter, to be counted again by anybody",
    tag: TAG,
    params: idParams,
    replies: {
      200: { description: "A ballot a line", schema: ballotSchema, type: "application/x-ndjson" },
      403: { description: "The results are not shown yet" },
    },
  }, async (c, { params }) => {
    const { poll, answer } = await pollOr404(c, params.id);
    refuseHidden(poll);
    const { position } = await readHead(c.var.services.sql);
    c.header("Cache-Control", "no-cache");
    c.header("ETag", `"${poll.version}.${answer.position}"`);
    c.header("Tallybook-Position", String(position));
    return c.body(ReadableStream.from(ballotLines(c, params.id, position)), 200, {
      "content-type": "application/x-ndjson",
    });
  }),

  endpoint({
    method: "get",
    path: "/polls/:id/results",
    summary: "Counts, votes and voters, as now or as at a position of the log",
    tag: TAG,
    params: idParams,
    query: asOf,
    replies: {
      200: { description: "The results", schema: resultsSchema },
      403: { description: "The results are not shown yet" },
    },
  }, async (c, { params, query }) => {
    const { poll, answer } = await pollOr404(c, params.id);
    refuseHidden(poll);
    if (query.asOf !== undefined) return c.json(await resultsAsOf(c, params.id, query.asOf));
    return await show<Poll>(c, answer, {
      page: (data) => pollPage(c, publicPoll(data), answer),
      json: resultsOf,
    });
  }),

  endpoint({
    method: "get",
    path: "/polls/:id/results.csv",
    summary: "The results as a table",
    tag: TAG,
    params: idParams,
    replies: {
      200: { description: "The results", type: "text/csv" },
      403: { description: "The results are not shown yet" },
    },
  }, async (c, { params }) => {
    const { poll, answer } = await pollOr404(c, params.id);
    refuseHidden(poll);
    c.header("Cache-Control", "no-cache");
    c.header("Tallybook-Position", String(answer.position));
    c.header("Content-Disposition", `attachment; filename="poll-${params.id}.csv"`);
    return c.body(resultsCsv(resultsOf(poll)), 200, { "content-type": "text/csv; charset=utf-8" });
  }),

  endpoint({
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
    return done(c, {
      json: { status: "Queued", message: "Vote received", ...vote },
      location: `/polls/${DEFAULT_POLL}/mine?thanks=${vote.receipt}`,
    });
  }),

  endpoint({
    method: "get",
    path: "/results",
    summary: "The counts of the default poll, as the old clients read them",
    tag: TAG,
    replies: {
      200: { description: "Votes by option", schema: z.record(z.string(), z.int()) },
      403: { description: "The results are not shown yet" },
      404: { description: "There is no default poll" },
    },
  }, async (c) => {
    const { poll, answer } = await pollOr404(c, DEFAULT_POLL);
    refuseHidden(poll);
    return await show<Poll>(c, answer, {
      json: ({ options }) => Object.fromEntries(options.map(({ id, votes }) => [id, votes])),
    });
  }),
];

async function* ballotLines(c: Context, poll: number, until: number): AsyncGenerator<Uint8Array> {
  let after = firstBallot(poll);
  while (true) {
    const page = await ballotsAt(c.var.services.sql, poll, { until, after, limit: NDJSON_PAGE });
    const last = page.at(-1);
    if (!last) return;
    const lines = page.flatMap(({ ballot }) => ballot ? [`${JSON.stringify(ballot)}\n`] : []);
    yield new TextEncoder().encode(lines.join(""));
    after = last.stream;
  }
}

/** What was counted then; nothing that happens later can change it, so it may be kept for ever. */
async function resultsAsOf(c: Context, id: number, position: number): Promise<Results> {
  const { sql } = c.var.services;
  await refuseFuture(sql, position);
  const then = foldPoll(await readStream(sql, pollStream(id), position));
  if (!then || then.status === "deleted") throw new AppError("not_found", "no such poll then");
  const { voters, counts } = await tallyAt(sql, id, position);
  const options = then.options.map((option) => ({ ...option, votes: counts.get(option.id) ?? 0 }));
  c.header("Cache-Control", "public, max-age=31536000, immutable");
  c.header("Tallybook-Position", String(position));
  return {
    id,
    question: then.question,
    state: then.status,
    voters,
    votes: options.reduce((sum, { votes }) => sum + votes, 0),
    options,
  };
}
