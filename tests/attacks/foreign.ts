// Events forged with the database's password: of known and unknown types, with data that may or may not
// fit, in any stream, under any version.
import { schemas } from "$events/mod.ts";

type Next = () => number;

export type Foreign = {
  stream: string;
  /** Undefined: the next version of its stream. */
  version: string | undefined;
  type: string;
  data: unknown;
  meta: unknown;
};

function pick<Value>(next: Next, from: readonly Value[]): Value {
  return from[Math.floor(next() * from.length)] as Value;
}

const UNKNOWN = ["Nothing", "constructor", "__proto__", "toString", "", "entrysigned", "🙂", "A b"];

const RUBBISH: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  2_147_483_648,
  9_007_199_254_740_991,
  1e300,
  "",
  "x",
  "a".repeat(100_000),
  "'; drop table events; --",
  "\u202e<script>",
  [],
  [null],
  ["option_a", "option_a", 7],
  {},
  { $enc: 1 },
  { $enc: "AAAA" },
  { $enc: "A".repeat(80) },
  { toString: 1, constructor: null },
  JSON.parse(`${"[".repeat(5000)}${"]".repeat(5000)}`),
];

const VERSIONS = ["0", "-1", "1000", "2147483648", "9007199254740991", "9223372036854775807"];

const METAS: readonly unknown[] = [null, [], "x", 1, {}, { actor: 1 }, {
  actor: "system",
  key: { a: 1 },
}, { actor: "visitor", request: [] }];

const OPTIONS = [{ id: "option_a", text: "A" }, { id: "option_b", text: "B" }];

/** Valid data, before a test damages it. */
function fitting(type: string, id: number): Record<string, unknown> {
  if (type.startsWith("Vote")) {
    const ballot = { poll: 1, voter: `v${id}`, options: ["option_a"], previous: ["option_b"] };
    const { previous: _, ...cast } = ballot;
    const { options: __, ...withdrawn } = ballot;
    return type === "VoteCast" ? cast : type === "VoteWithdrawn" ? withdrawn : ballot;
  }
  const more: Record<string, Record<string, unknown>> = {
    EntrySigned: { id, name: "Eve", message: "made up", author: null, held: false },
    EntryEdited: { id, message: "made up" },
    UserRegistered: { id, name: "Eve", email: "eve@example.org", claim: "email-x" },
    UserChanged: { id, name: "Eve" },
    EmailClaimed: { user: id },
    EmailReleased: { user: id },
    ItemCreated: { id, name: "made up", description: "" },
    ItemChanged: { id, name: "made up" },
    VisitsCounted: { page: "/", count: 1 },
    PollOpened: {
      ...{ id, question: "?", options: OPTIONS },
      ...{ choice: "single", results: "always", closes_at: null },
    },
    PollChanged: { id, question: "made up" },
    PollClosed: { id, by: "admin" },
    PollReopened: { id, closes_at: null },
  };
  return (Object.hasOwn(more, type) ? more[type] : undefined) ?? { id };
}

function streamOf(next: Next, type: string, id: number): string {
  if (next() < 0.1) return pick(next, ["", " ", "x", "poll-", "entry-1e9", "🙂", "a".repeat(1000)]);
  if (type.startsWith("Vote")) return `ballot-1-v${id}`;
  const subject = type.match(/^[A-Z][a-z]+/)?.[0].toLowerCase() ?? "x";
  if (subject === "visits") return "visits-/";
  return `${subject}-${id}`;
}

function mutated(next: Next, data: Record<string, unknown>): unknown {
  const dice = next();
  if (dice < 0.25) return data;
  if (dice < 0.35) return pick(next, RUBBISH);
  const name = pick(next, Object.keys(data));
  if (dice < 0.5) return Object.fromEntries(Object.entries(data).filter(([key]) => key !== name));
  if (dice < 0.6) return { ...data, extra: pick(next, RUBBISH) };
  return { ...data, [name]: pick(next, RUBBISH) };
}

/** Ids of existing records, or far beyond them. */
export function foreign(next: Next): Foreign {
  const type = next() < 0.15 ? pick(next, UNKNOWN) : pick(next, Object.keys(schemas));
  const id = next() < 0.5 ? 1 + Math.floor(next() * 3) : 1_000_000 + Math.floor(next() * 1e6);
  return {
    stream: streamOf(next, type, id),
    version: next() < 0.15 ? pick(next, VERSIONS) : undefined,
    type,
    data: mutated(next, fitting(type, id)),
    meta: next() < 0.2 ? pick(next, METAS) : { actor: "system" },
  };
}
