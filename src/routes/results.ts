// Results, and the ballots from which anybody can recount them.
import { z } from "zod";
import { foldPoll, pollStream } from "../commands/polls.ts";
import { AppError } from "../errors.ts";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { asOf, idParams } from "../schemas/fields.ts";
import { sendQuery } from "../http/respond.ts";
import { pollPage } from "../pages/polls.tsx";
import { readHead, readStream } from "../store/read.ts";
import { DEFAULT_POLL, type Poll } from "$projections/polls.ts";
import { ballotsAt, firstBallot, tallyAt } from "$projections/votes.ts";
import { refuseFuture } from "./as_of.ts";
import { pollOr404 } from "./poll_answer.ts";
import {
  ballotSchema,
  publicPoll,
  refuseHidden,
  type Results,
  resultsCsv,
  resultsOf,
  resultsSchema,
} from "../schemas/polls.ts";

const TAG = "polls";
const NDJSON_PAGE = 1000;

export const resultsRoutes = [
  endpoint({
    method: "get",
    path: "/polls/:id/ballots",
    summary: "Every ballot without its voter, so that anybody can recount",
    tag: TAG,
    params: idParams,
    replies: {
      200: { description: "A ballot a line", schema: ballotSchema, type: "application/x-ndjson" },
      403: { description: "The results are not shown yet" },
    },
  }, async (c, { params }) => {
    const { poll, answer } = await pollOr404(c, params.id);
    refuseHidden(poll);
    const { position } = await readHead(c.get("services").sql);
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
    return await sendQuery<Poll>(c, answer, {
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
    return await sendQuery<Poll>(c, answer, {
      json: ({ options }) => Object.fromEntries(options.map(({ id, votes }) => [id, votes])),
    });
  }),
];

async function* ballotLines(c: Context, poll: number, until: number): AsyncGenerator<Uint8Array> {
  let after = firstBallot(poll);
  while (true) {
    const page = await ballotsAt(c.get("services").sql, poll, { until, after, limit: NDJSON_PAGE });
    const last = page.at(-1);
    if (!last) return;
    const lines = page.flatMap(({ ballot }) => ballot ? [`${JSON.stringify(ballot)}\n`] : []);
    yield new TextEncoder().encode(lines.join(""));
    after = last.stream;
  }
}

/** The results at a position. Later events cannot change them, so caches may keep them for ever. */
async function resultsAsOf(c: Context, id: number, position: number): Promise<Results> {
  const { sql } = c.get("services");
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
