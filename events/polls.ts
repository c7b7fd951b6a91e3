import { z } from "zod";

const id = z.int().positive();
const option = z.strictObject({ id: z.string(), text: z.string() });
const closesAt = z.iso.datetime().nullable();
const results = z.enum(["always", "after_vote", "after_close"]);
const choice = z.enum(["single", "multiple"]);

/** A vote names the options it replaces, so that counting needs nothing but the event. */
export const polls = {
  PollOpened: z.strictObject({
    id,
    question: z.string(),
    options: z.array(option),
    choice,
    results,
    closes_at: closesAt,
  }),
  PollChanged: z.strictObject({
    id,
    question: z.string().optional(),
    options: z.array(option).optional(),
    results: results.optional(),
    closes_at: closesAt.optional(),
  }),
  PollClosed: z.strictObject({ id, by: z.enum(["admin", "deadline"]) }),
  PollReopened: z.strictObject({ id, closes_at: closesAt }),
  PollDeleted: z.strictObject({ id }),
  VoteCast: z.strictObject({ poll: id, voter: z.string(), options: z.array(z.string()) }),
  VoteChanged: z.strictObject({
    poll: id,
    voter: z.string(),
    options: z.array(z.string()),
    previous: z.array(z.string()),
  }),
  VoteWithdrawn: z.strictObject({ poll: id, voter: z.string(), previous: z.array(z.string()) }),
};

export type PollOption = z.infer<typeof option>;
