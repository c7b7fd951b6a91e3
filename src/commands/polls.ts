// Commands on a poll and on one voter's ballot in it.
import type { Recorded } from "$events/mod.ts";
import type { PollOption } from "$events/polls.ts";
import { AppError } from "../errors.ts";
import { appendTo, checkMatch, type Decision, type IfMatch, NO_CHANGE } from "./decision.ts";

export type PollFacts = {
  id: number;
  version: number;
  question: string;
  options: PollOption[];
  choice: "single" | "multiple";
  results: "always" | "after_vote" | "after_close";
  closesAt: Date | null;
  status: "open" | "closed" | "deleted";
};

export type BallotState = { version: number; options: string[] };

export function pollStream(id: number): string {
  return `poll-${id}`;
}

export function ballotStream(poll: number, voter: string): string {
  return `ballot-${poll}-${voter}`;
}

export function foldPoll(events: Recorded[]): PollFacts | undefined {
  let state: PollFacts | undefined;
  for (const event of events) state = evolve(state, event);
  return state;
}

function evolve(state: PollFacts | undefined, event: Recorded): PollFacts | undefined {
  if (event.type === "PollOpened") {
    const { closes_at, ...facts } = event.data;
    return { ...facts, version: 1, closesAt: date(closes_at), status: "open" };
  }
  if (!state) return undefined;
  const version = event.version;
  switch (event.type) {
    case "PollChanged": {
      const { question = state.question, options = state.options } = event.data;
      const { results = state.results, closes_at } = event.data;
      const closesAt = closes_at === undefined ? state.closesAt : date(closes_at);
      return { ...state, version, question, options, results, closesAt };
    }
    case "PollClosed":
      return { ...state, version, status: "closed" };
    case "PollReopened":
      return { ...state, version, status: "open", closesAt: date(event.data.closes_at) };
    case "PollDeleted":
      return { ...state, version, status: "deleted" };
    default:
      return state;
  }
}

function date(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}

export function foldBallot(events: Recorded[]): BallotState {
  const last = events.at(-1);
  if (!last) return { version: 0, options: [] };
  const options = last.type === "VoteCast" || last.type === "VoteChanged" ? last.data.options : [];
  return { version: last.version, options };
}

export type PollInput = {
  question: string;
  options: PollOption[];
  choice: "single" | "multiple";
  results: "always" | "after_vote" | "after_close";
  closesAt: Date | null;
};

export function openPoll(id: number, input: PollInput, now: Date): Decision {
  checkClosing(input.closesAt, now);
  checkOptions(input.options);
  const { closesAt, ...facts } = input;
  const data = { id, ...facts, closes_at: closesAt?.toISOString() ?? null };
  return appendTo(pollStream(id), 0, { type: "PollOpened", data });
}

export type PollChange = {
  question?: string;
  options?: PollOption[];
  results?: PollFacts["results"];
  closesAt?: Date | null;
  ifMatch?: IfMatch;
};

/** Options may be added and reworded, but not removed: somebody may have voted for them. */
export function changePoll(
  state: PollFacts | undefined,
  change: PollChange,
  now: Date,
): Decision {
  const poll = existing(state);
  checkMatch(poll.version, change.ifMatch);
  const { question, options, results, closesAt } = change;
  if (closesAt !== undefined) checkClosing(closesAt, now);
  if (options) {
    checkOptions(options);
    const lost = poll.options.find((old) => !options.some((option) => option.id === old.id));
    if (lost) throw invalid("options", `an option cannot be removed: ${lost.id}`);
  }
  const data = {
    id: poll.id,
    ...(question === undefined ? {} : { question }),
    ...(options === undefined ? {} : { options }),
    ...(results === undefined ? {} : { results }),
    ...(closesAt === undefined ? {} : { closes_at: closesAt?.toISOString() ?? null }),
  };
  if (Object.keys(data).length === 1) return NO_CHANGE;
  return appendTo(pollStream(poll.id), poll.version, { type: "PollChanged", data });
}

export function closePoll(
  state: PollFacts | undefined,
  by: "admin" | "deadline",
  ifMatch?: IfMatch,
): Decision {
  const poll = existing(state);
  checkMatch(poll.version, ifMatch);
  if (poll.status === "closed") return NO_CHANGE;
  const event = { type: "PollClosed" as const, data: { id: poll.id, by } };
  return appendTo(pollStream(poll.id), poll.version, event);
}

export type Reopening = { closesAt: Date | null; ifMatch?: IfMatch };

export function reopenPoll(
  state: PollFacts | undefined,
  { closesAt, ifMatch }: Reopening,
  now: Date,
): Decision {
  const poll = existing(state);
  checkMatch(poll.version, ifMatch);
  // After its deadline a poll is closed for voters, even before the leader has appended PollClosed.
  const isDue = poll.closesAt !== null && poll.closesAt <= now;
  if (poll.status === "open" && !isDue) return NO_CHANGE;
  checkClosing(closesAt, now);
  const data = { id: poll.id, closes_at: closesAt?.toISOString() ?? null };
  return appendTo(pollStream(poll.id), poll.version, { type: "PollReopened", data });
}

export function deletePoll(state: PollFacts | undefined, ifMatch?: IfMatch): Decision {
  const poll = existing(state);
  checkMatch(poll.version, ifMatch);
  const event = { type: "PollDeleted" as const, data: { id: poll.id } };
  return appendTo(pollStream(poll.id), poll.version, event);
}

export type Vote = { voter: string; options: string[] };

/** The guard makes the append fail if the poll changed meanwhile, so that the vote is decided again. */
export function castVote(
  state: PollFacts | undefined,
  ballot: BallotState,
  vote: Vote,
): Decision {
  const poll = open(state);
  const options = chosen(poll, vote.options);
  if (sameOptions(options, ballot.options)) return NO_CHANGE;
  const data = { poll: poll.id, voter: vote.voter, options };
  const event = ballot.options.length === 0
    ? { type: "VoteCast" as const, data }
    : { type: "VoteChanged" as const, data: { ...data, previous: ballot.options } };
  return guarded(poll, appendTo(ballotStream(poll.id, vote.voter), ballot.version, event));
}

export function withdrawVote(
  state: PollFacts | undefined,
  ballot: BallotState,
  voter: string,
): Decision {
  const poll = open(state);
  if (ballot.options.length === 0) throw new AppError("not_found", "no vote to withdraw");
  const data = { poll: poll.id, voter, previous: ballot.options };
  const event = { type: "VoteWithdrawn" as const, data };
  return guarded(poll, appendTo(ballotStream(poll.id, voter), ballot.version, event));
}

function guarded(poll: PollFacts, decision: Decision): Decision {
  const guards = [{ stream: pollStream(poll.id), version: poll.version }];
  return { ...decision, guards, ...(poll.closesAt ? { notAfter: poll.closesAt } : {}) };
}

function existing(state: PollFacts | undefined): PollFacts {
  if (state && state.status !== "deleted") return state;
  throw new AppError("not_found", "no such poll");
}

function open(state: PollFacts | undefined): PollFacts {
  const poll = existing(state);
  if (poll.status === "open") return poll;
  throw new AppError("conflict", "this poll is closed");
}

/** The ids of the chosen options, given by id or by text, without repeats. */
function chosen(poll: PollFacts, choices: string[]): string[] {
  const ids = new Set<string>();
  for (const wanted of choices) {
    const found = poll.options.find(({ id }) => id === wanted) ??
      poll.options.find(({ text }) => text === wanted);
    if (!found) throw invalid("option", `no such option: ${wanted}`);
    ids.add(found.id);
  }
  if (ids.size === 0) throw invalid("option", "choose an option");
  if (ids.size > 1 && poll.choice === "single") throw invalid("option", "choose one option only");
  return poll.options.filter(({ id }) => ids.has(id)).map(({ id }) => id);
}

function sameOptions(a: string[], b: string[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}

function checkOptions(options: PollOption[]): void {
  for (const [i, { id, text }] of options.entries()) {
    const repeated = options.slice(0, i).find((other) => other.id === id || other.text === text);
    if (repeated) throw invalid("options", `given twice: ${repeated.id === id ? id : text}`);
  }
}

function checkClosing(closesAt: Date | null, now: Date): void {
  if (closesAt && closesAt <= now) throw invalid("closes_at", "is in the past");
}

function invalid(field: string, message: string): AppError {
  return new AppError("invalid", message, { fields: [{ field, message }] });
}
