// Receipts: the holder of a receipt can ask whether its vote is counted.
import { z } from "zod";
import { AppError } from "../errors.ts";
import { wantsHtml } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { receiptPage } from "../pages/polls.tsx";
import { clock } from "../store/database_clock.ts";
import { signHead } from "../store/signed_head.ts";
import { readHead, readReadable } from "../store/read.ts";
import { findPoll } from "$projections/polls.ts";
import { isCounted } from "$projections/votes.ts";
import { receiptOf, receiptSchema } from "../schemas/polls.ts";

export const receiptRoute = endpoint({
  method: "get",
  path: "/receipts/:receipt",
  summary: "Whether a vote is counted, where, and under which seal and signed head",
  tag: "polls",
  params: z.object({ receipt: z.string() }),
  replies: { 200: { description: "The state of the vote", schema: receiptSchema } },
}, async (c, { params }) => {
  const { sql, secrets } = c.get("services");
  const position = Number(params.receipt.match(/^(\d{1,15})-[0-9a-f]{32}$/)?.[1] ?? 0);
  const { events: [event] } = await readReadable(sql, { after: position - 1, until: position });
  if (position === 0 || !event || receiptOf(event) !== params.receipt) {
    throw new AppError("not_found", "no such receipt");
  }
  if (event.type !== "VoteCast" && event.type !== "VoteChanged") {
    throw new AppError("not_found", "no such receipt");
  }
  const { poll } = event.data;
  const counted = await isCounted(sql, event) && await findPoll(sql, poll) !== undefined;
  const head = signHead(secrets.signing, await readHead(sql), await clock(sql));
  c.header("Cache-Control", "no-store");
  const at = event.at.toISOString();
  const found = { receipt: params.receipt, counted, poll, position, seal: event.seal, at, head };
  return wantsHtml(c) ? c.html(receiptPage(c, found)) : c.json(found);
});
