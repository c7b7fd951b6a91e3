// Request and response schemas of polls, and the rule for when results are shown.
import { z } from "zod";
import { AppError } from "../errors.ts";
import { dateTime, id, isoDate, text } from "./fields.ts";
import type { Poll } from "$projections/polls.ts";
import type { Ballot } from "$projections/votes.ts";

const SLUG = /^[a-z0-9][a-z0-9_-]{0,49}$/;

const optionText = text({ max: 200 });
const optionInput = z.union([
  optionText.transform((text) => ({ id: undefined, text })),
  z.object({ id: z.string().regex(SLUG, "is not a short name").optional(), text: optionText }),
]);

/** A form sends one option per line, JSON a list of texts or of {id, text}. */
const options = z.preprocess(
  (value) => typeof value === "string" ? value.split(/\r?\n/).filter((line) => line.trim()) : value,
  z.array(optionInput).min(2, "at least 2 options").max(20, "at most 20 options"),
);

const question = text({ max: 300 });
const results = z.enum(["always", "after_vote", "after_close"]);

export const pollInput = z.object({
  question,
  options,
  choice: z.enum(["single", "multiple"]).default("single"),
  results: results.default("always"),
  closes_at: dateTime.default(null),
});

export const pollChange = z.object({
  question: question.optional(),
  options: options.optional(),
  results: results.optional(),
  closes_at: dateTime.optional(),
});

export const choice = z.union([z.string().max(200), z.array(z.string().max(200)).max(20)], {
  error: ({ input }) => input === undefined ? "is missing" : "is not an option",
}).transform((value) => [value].flat());
export const ballotInput = z.object({ option: choice });

export const pollSchema = z.object({
  id,
  question: z.string(),
  choice: z.enum(["single", "multiple"]),
  results,
  state: z.enum(["open", "closed"]),
  closes_at: isoDate.nullable(),
  created_at: isoDate,
  voters: z.int(),
  votes: z.int().optional(),
  options: z.array(z.object({ id: z.string(), text: z.string(), votes: z.int().optional() })),
});

export const resultsSchema = z.object({
  id,
  question: z.string(),
  state: z.enum(["open", "closed"]),
  voters: z.int(),
  votes: z.int(),
  options: z.array(z.object({ id: z.string(), text: z.string(), votes: z.int() })),
});

export const voteSchema = z.object({
  receipt: z.string(),
  position: z.int(),
  options: z.array(z.string()),
});

export const ballotSchema = z.object({
  position: z.int(),
  seal: z.string(),
  options: z.array(z.string()),
  at: isoDate,
});

export type PublicPoll = z.infer<typeof pollSchema>;
export type Results = z.infer<typeof resultsSchema>;

/** Keeps given ids and the ids of known texts; numbers the other options with ids not in use. */
export function named(
  given: { id?: string; text: string }[],
  known: { id: string; text: string }[] = [],
): { id: string; text: string }[] {
  const taken = new Set([...known, ...given].flatMap(({ id }) => id ?? []));
  let next = 1;
  return given.map(({ id, text }) => {
    const same = id ?? known.find((option) => option.text === text)?.id;
    if (same !== undefined) return { id: same, text };
    while (taken.has(String(next))) next++;
    taken.add(String(next));
    return { id: String(next), text };
  });
}

/** A form's lines have no ids: a new text on the line of an old option is that option, reworded. */
export function reworded(
  lines: { id?: string; text: string }[],
  known: { id: string; text: string }[] = [],
): { id?: string; text: string }[] {
  const texts = new Set(lines.map(({ text }) => text));
  const same = new Set(known.map(({ text }) => text));
  return lines.map((line, i) => {
    const old = known[i];
    const renamed = old && !texts.has(old.text) && !same.has(line.text);
    return renamed ? { id: old.id, text: line.text } : line;
  });
}

type Visibility = Pick<Poll, "results" | "state">;

export function resultsShown({ results, state }: Visibility, voted = false): boolean {
  if (results === "always" || state === "closed") return true;
  return results === "after_vote" && voted;
}

export function refuseHidden(poll: Visibility, voted = false): void {
  if (resultsShown(poll, voted)) return;
  const when = poll.results === "after_vote" ? "after you voted" : "after the poll closed";
  throw new AppError("forbidden", `results are shown ${when}`);
}

export function publicPoll(poll: Poll): PublicPoll {
  const { version: _, state, votes, options, ...facts } = poll;
  const open = { ...facts, state: state === "open" ? "open" as const : "closed" as const };
  if (resultsShown(poll)) return { ...open, votes, options };
  return { ...open, options: options.map(({ id, text }) => ({ id, text })) };
}

export function resultsOf(poll: Poll): Results {
  const { id, question, voters, votes, options } = poll;
  return { id, question, state: poll.state === "open" ? "open" : "closed", voters, votes, options };
}

/** The position and the start of the seal, which cannot be guessed without the vote. */
export function receiptOf({ position, seal }: Pick<Ballot, "position" | "seal">): string {
  return `${position}-${seal.slice(0, 32)}`;
}

// An apostrophe keeps a spreadsheet from running a cell as a formula.
function csvCell(value: string | number): string {
  const text = typeof value === "number" ? String(value) : value.replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function resultsCsv({ options }: Results): string {
  const rows = [["option", "text", "votes"], ...options.map((o) => [o.id, o.text, o.votes])];
  return rows.map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");
}

export const receiptSchema = z.object({
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

export type Receipt = z.infer<typeof receiptSchema>;

export const myVoteSchema = z.object({
  options: z.array(z.string()),
  receipt: z.string().nullable(),
  position: z.int().nullable(),
  results: resultsSchema.nullable(),
});

export type MyVote = z.infer<typeof myVoteSchema>;
