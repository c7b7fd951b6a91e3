// Random commands from fast-check, decided on the state of the log and appended.
import fc from "fast-check";
import * as guestbook from "$src/commands/guestbook.ts";
import * as items from "$src/commands/items.ts";
import * as polls from "$src/commands/polls.ts";
import * as users from "$src/commands/users.ts";
import { countVisits } from "$src/commands/visits.ts";
import type { Decision } from "$src/commands/decision.ts";
import { AppError } from "$src/errors.ts";
import { readStream } from "$src/store/read.ts";
import type { ProjectedLog } from "./log.ts";

const admin = { admin: true, now: new Date() };
const future = new Date("2100-01-01T00:00:00Z");

const few = fc.integer({ min: 1, max: 3 });
const word = fc.constantFrom("", "a", "b", "'; drop table users --", "🙂", "שלום");
const text = word.map((value) => `x${value}`);
const chosen = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("1", "2").map((one) => [one]) },
  { weight: 1, arbitrary: fc.subarray(["1", "2", "3", "4"], { minLength: 1 }) },
);
const given = { requiredKeys: [] as [] };

/** A new subject's number is its turn, so that few numbers recur often. */
export const command = fc.oneof(
  fc.record({ do: fc.constant("sign" as const), id: few, name: text, held: fc.boolean() }),
  fc.record({
    do: fc.constant("edit" as const),
    id: few,
    change: fc.record({ name: text, message: text, held: fc.boolean() }, given),
  }),
  fc.record({ do: fc.constantFrom("hide" as const, "restore", "eraseEntry"), id: few }),
  fc.record({ do: fc.constant("register" as const), id: few, name: text, email: few }),
  fc.record({
    do: fc.constant("changeUser" as const),
    id: few,
    change: fc.record({ name: text, email: few }, given),
  }),
  fc.record({ do: fc.constantFrom("deleteUser" as const, "eraseUser"), id: few }),
  fc.record({ do: fc.constant("create" as const), id: few, name: text }),
  fc.record({
    do: fc.constant("changeItem" as const),
    id: few,
    change: fc.record({ name: text, description: text }, given),
  }),
  fc.record({ do: fc.constant("deleteItem" as const), id: few }),
  fc.record({
    do: fc.constant("open" as const),
    id: few,
    options: fc.integer({ min: 2, max: 4 }),
    choice: fc.constantFrom("single" as const, "multiple"),
  }),
  fc.record({
    do: fc.constant("changePoll" as const),
    id: few,
    change: fc.record({
      question: text,
      options: fc.integer({ min: 2, max: 5 }),
      ends: fc.boolean(),
    }, given),
  }),
  fc.record({ do: fc.constantFrom("close" as const, "reopen", "deletePoll"), id: few }),
  ...Array.from(
    { length: 5 },
    () => fc.record({ do: fc.constant("vote" as const), id: few, voter: few, options: chosen }),
  ),
  fc.record({ do: fc.constant("withdraw" as const), id: few, voter: few }),
  fc.record({ do: fc.constant("see" as const), page: word, count: few }),
);

export type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

function optionsOf(count: number) {
  return Array.from({ length: count }, (_, i) => ({ id: String(i + 1), text: `option ${i + 1}` }));
}

async function decide({ sql }: ProjectedLog, asked: Command): Promise<Decision> {
  const entry = async (id: number) =>
    guestbook.foldEntry(await readStream(sql, guestbook.entryStream(id)));
  const user = async (id: number) => users.foldUser(await readStream(sql, users.userStream(id)));
  const item = async (id: number) => items.foldItem(await readStream(sql, items.itemStream(id)));
  const poll = async (id: number) => polls.foldPoll(await readStream(sql, polls.pollStream(id)));
  const claim = async (stream: string) => users.foldClaim(stream, await readStream(sql, stream));
  const ballot = async (id: number, voter: number) =>
    polls.foldBallot(await readStream(sql, polls.ballotStream(id, `v${voter}`)));
  switch (asked.do) {
    case "sign": {
      const { id, name, held } = asked;
      return guestbook.signEntry({ id, name, message: name, author: "someone", held });
    }
    case "edit":
      return guestbook.editEntry(await entry(asked.id), asked.change, admin);
    case "hide":
      return guestbook.hideEntry(await entry(asked.id));
    case "restore":
      return guestbook.restoreEntry(await entry(asked.id));
    case "eraseEntry":
      return guestbook.eraseEntry(await entry(asked.id), admin);
    case "register": {
      const { id, name, email } = asked;
      const held = await claim(`email-${email}`);
      return users.registerUser({ id, name, email: `${email}@example.com` }, held);
    }
    case "changeUser": {
      const state = await user(asked.id);
      const { email: number, name } = asked.change;
      if (number === undefined) return users.changeUser(state, { name });
      const claims = { from: await claim(state?.claim ?? ""), to: await claim(`email-${number}`) };
      return users.changeUser(state, { name, email: `${number}@example.com` }, claims);
    }
    case "deleteUser": {
      const state = await user(asked.id);
      return users.deleteUser(state, await claim(state?.claim ?? ""));
    }
    case "eraseUser": {
      const state = await user(asked.id);
      return users.eraseUser(state, await claim(state?.claim ?? ""));
    }
    case "create":
      return items.createItem({ id: asked.id, name: asked.name, description: "" });
    case "changeItem":
      return items.changeItem(await item(asked.id), asked.change);
    case "deleteItem":
      return items.deleteItem(await item(asked.id));
    case "open": {
      const { id, choice } = asked;
      const facts = { question: "?", results: "always" as const, closesAt: null };
      return polls.openPoll(id, { ...facts, choice, options: optionsOf(asked.options) }, admin.now);
    }
    case "changePoll": {
      const { question, options, ends } = asked.change;
      const change = {
        ...(question === undefined ? {} : { question }),
        ...(options === undefined ? {} : { options: optionsOf(options) }),
        ...(ends === undefined ? {} : { closesAt: ends ? future : null }),
      };
      return polls.changePoll(await poll(asked.id), change, admin.now);
    }
    case "close":
      return polls.closePoll(await poll(asked.id), "admin");
    case "reopen":
      return polls.reopenPoll(await poll(asked.id), { closesAt: null }, admin.now);
    case "deletePoll":
      return polls.deletePoll(await poll(asked.id));
    case "vote": {
      const { id, voter, options } = asked;
      const wanted = { voter: `v${voter}`, options };
      return polls.castVote(await poll(id), await ballot(id, voter), wanted);
    }
    case "withdraw": {
      const { id, voter } = asked;
      return polls.withdrawVote(await poll(id), await ballot(id, voter), `v${voter}`);
    }
    case "see":
      return countVisits(new Map([[`/${asked.page}`, asked.count]]));
  }
}

/** Some of each subject exists, so that later commands are refused less often than accepted. */
export const beginning: Command[] = [
  { do: "sign", id: 1, name: "xa", held: false },
  { do: "register", id: 1, name: "xa", email: 1 },
  { do: "create", id: 1, name: "xa" },
  { do: "open", id: 1, options: 3, choice: "single" },
  { do: "open", id: 2, options: 4, choice: "multiple" },
];

/** True if accepted, false if refused by the rules; any other error is thrown. */
export async function apply(log: ProjectedLog, asked: Command): Promise<boolean> {
  try {
    const decision = await decide(log, asked);
    if (decision.streams.length === 0) return false;
    await log.appender.append({ ...decision, meta: { actor: "visitor" } });
    return true;
  } catch (error) {
    if (error instanceof AppError && error.code !== "unavailable") return false;
    throw error;
  }
}
