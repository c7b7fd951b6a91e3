import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { NewEvent } from "$events/mod.ts";
import {
  castVote,
  changePoll,
  closePoll,
  deletePoll,
  foldBallot,
  foldPoll,
  openPoll,
  type PollInput,
  reopenPoll,
  withdrawVote,
} from "$src/commands/polls.ts";
import { assertNothing, assertRefused, minutesAgo, NOW, recorded } from "./given.ts";

const options = [{ id: "tea", text: "Tea" }, { id: "2", text: "Coffee" }, { id: "3", text: "2" }];
const input: PollInput = {
  question: "What?",
  options,
  choice: "single",
  results: "always",
  closesAt: null,
};
const later = minutesAgo(-60);
const { closesAt: _, ...rest } = input;
const opened: NewEvent = { type: "PollOpened", data: { id: 5, ...rest, closes_at: null } };
const multiple: NewEvent = {
  type: "PollOpened",
  data: { id: 5, ...rest, choice: "multiple", closes_at: later.toISOString() },
};
const due: NewEvent = {
  type: "PollOpened",
  data: { id: 5, ...rest, closes_at: minutesAgo(1).toISOString() },
};
const closed: NewEvent = { type: "PollClosed", data: { id: 5, by: "admin" } };
const deleted: NewEvent = { type: "PollDeleted", data: { id: 5 } };

const given = (...events: NewEvent[]) => foldPoll(recorded(events));
const ballot = (...events: NewEvent[]) => foldBallot(recorded(events));
const none = ballot();
const voteFor = (...wanted: string[]) => ({ voter: "v", options: wanted });
const cast = (chosen: string[]): NewEvent => ({
  type: "VoteCast",
  data: { poll: 5, voter: "v", options: chosen },
});

function decided(expected: number | "none", event: NewEvent, guard = 1) {
  return {
    streams: [{ stream: "ballot-5-v", expected, events: [event] }],
    guards: [{ stream: "poll-5", version: guard }],
  };
}

describe("openPoll()", () => {
  it("appends to a stream that must be new", () => {
    assertEquals(openPoll(5, input, NOW), {
      streams: [{ stream: "poll-5", expected: "none", events: [opened] }],
    });
  });

  it("refuses a closing time that is not in the future", () => {
    for (const closesAt of [NOW, minutesAgo(1)]) {
      const open = () => openPoll(5, { ...input, closesAt }, NOW);
      assertRefused(open, { code: "invalid", field: "closes_at" });
    }
  });

  it("refuses options with one id or one text", () => {
    for (const twin of [{ id: "tea", text: "Other" }, { id: "other", text: "Tea" }]) {
      const open = () => openPoll(5, { ...input, options: [...options, twin] }, NOW);
      assertRefused(open, { code: "invalid", field: "options" });
    }
  });
});

describe("changePoll()", () => {
  it("adds and rewords options", () => {
    const more = [...options.map((one) => ({ ...one, text: `${one.text}!` })), {
      id: "4",
      text: "x",
    }];
    const event = { type: "PollChanged" as const, data: { id: 5, options: more } };
    assertEquals(changePoll(given(opened), { options: more }, NOW), {
      streams: [{ stream: "poll-5", expected: 1, events: [event] }],
    });
  });

  it("removes no option", () => {
    const change = () => changePoll(given(opened), { options: options.slice(1) }, NOW);
    assertRefused(change, { code: "invalid", field: "options" });
  });

  it("moves and lifts the deadline, and leaves it unchanged where it is not named", () => {
    const moved = changePoll(given(multiple), { closesAt: null }, NOW).streams[0]?.events[0];
    assertEquals(moved?.data, { id: 5, closes_at: null });
    const other = changePoll(given(multiple), { question: "Which?" }, NOW).streams[0]?.events[0];
    assertEquals(other?.data, { id: 5, question: "Which?" });
    const back = () => changePoll(given(multiple), { closesAt: minutesAgo(1) }, NOW);
    assertRefused(back, { code: "invalid", field: "closes_at" });
  });

  it("writes nothing for an empty change, and rejects a stale version", () => {
    assertNothing(changePoll(given(opened), {}, NOW));
    assertRefused(() => changePoll(given(opened), { ifMatch: [2] }, NOW), { code: "stale" });
    assertRefused(() => changePoll(given(opened, deleted), {}, NOW), { code: "not_found" });
  });
});

describe("closePoll() and reopenPoll()", () => {
  it("close a poll once", () => {
    assertEquals(closePoll(given(opened), "admin").streams[0]?.events, [closed]);
    assertNothing(closePoll(given(opened, closed), "deadline"));
  });

  it("reopen a poll once, with a new deadline or none", () => {
    const event: NewEvent = { type: "PollReopened", data: { id: 5, closes_at: null } };
    const state = given(opened, closed);
    const streams = [{ stream: "poll-5", expected: 2, events: [event] }];
    assertEquals(reopenPoll(state, { closesAt: null }, NOW), { streams });
    assertNothing(reopenPoll(given(opened, closed, event), { closesAt: null }, NOW));
    const past = () => reopenPoll(state, { closesAt: minutesAgo(1) }, NOW);
    assertRefused(past, { code: "invalid", field: "closes_at" });
  });

  it("reopen a poll whose deadline has passed before it was closed", () => {
    assertEquals(reopenPoll(given(due), { closesAt: later }, NOW).streams[0]?.events[0]?.data, {
      id: 5,
      closes_at: later.toISOString(),
    });
  });

  it("do not find a deleted poll", () => {
    assertRefused(() => closePoll(given(opened, deleted), "admin"), { code: "not_found" });
    assertRefused(() => reopenPoll(given(opened, deleted), { closesAt: null }, NOW), {
      code: "not_found",
    });
    assertRefused(() => deletePoll(given(opened, deleted)), { code: "not_found" });
    assertRefused(() => deletePoll(undefined), { code: "not_found" });
  });

  it("close and reopen at the version that was read", () => {
    assertEquals(closePoll(given(opened), "admin", [1]).streams[0]?.events, [closed]);
    assertRefused(() => closePoll(given(opened), "admin", [2]), { code: "stale" });
    assertRefused(() => closePoll(given(opened, closed), "admin", [1]), { code: "stale" });
    const reopen = (ifMatch: number[]) =>
      reopenPoll(given(opened, closed), { closesAt: null, ifMatch }, NOW);
    assertEquals(reopen([2]).streams[0]?.events.length, 1);
    assertRefused(() => reopen([1]), { code: "stale" });
  });

  it("delete at the version that was read", () => {
    assertEquals(deletePoll(given(opened, closed), [2]).streams[0]?.events, [deleted]);
    assertRefused(() => deletePoll(given(opened, closed), [1]), { code: "stale" });
  });
});

describe("castVote()", () => {
  it("casts a first vote, guarded by the poll's version", () => {
    assertEquals(castVote(given(opened), none, voteFor("tea")), decided("none", cast(["tea"])));
  });

  it("matches an option by id first, then by text", () => {
    assertEquals(castVote(given(opened), none, voteFor("Coffee")), decided("none", cast(["2"])));
    assertEquals(castVote(given(opened), none, voteFor("2")), decided("none", cast(["2"])));
  });

  it("changes a vote by naming what it replaces", () => {
    const event: NewEvent = {
      type: "VoteChanged",
      data: { poll: 5, voter: "v", options: ["2"], previous: ["tea"] },
    };
    const given_ = ballot(cast(["tea"]));
    assertEquals(castVote(given(opened), given_, voteFor("2")), decided(1, event));
  });

  it("casts again after a withdrawal", () => {
    const withdrawn: NewEvent = {
      type: "VoteWithdrawn",
      data: { poll: 5, voter: "v", previous: ["tea"] },
    };
    const state = ballot(cast(["tea"]), withdrawn);
    assertEquals(castVote(given(opened), state, voteFor("tea")), decided(2, cast(["tea"])));
  });

  it("writes nothing where the vote is unchanged", () => {
    assertNothing(castVote(given(opened), ballot(cast(["tea"])), voteFor("tea")));
  });

  it("takes several options once each, in the poll's order, in a multiple choice", () => {
    const event = cast(["tea", "3"]);
    const wanted = decided("none", event);
    assertEquals(castVote(given(multiple), none, voteFor("3", "tea", "3")), {
      ...wanted,
      notAfter: later,
    });
  });

  it("refuses two options in a single choice, none, and an unknown one", () => {
    for (const wanted of [["tea", "2"], [], ["gin"], ["tea", "gin"]]) {
      const vote = () => castVote(given(opened), none, voteFor(...wanted));
      assertRefused(vote, { code: "invalid", field: "option" });
    }
  });

  it("leaves the deadline to the log's own clock", () => {
    assertEquals(castVote(given(due), none, voteFor("tea")).notAfter, minutesAgo(1));
  });

  it("is refused in a closed poll, and does not find a deleted one", () => {
    const late = () => castVote(given(opened, closed), none, voteFor("tea"));
    assertRefused(late, { code: "conflict" });
    assertRefused(() => castVote(given(opened, deleted), none, voteFor("tea")), {
      code: "not_found",
    });
    assertRefused(() => castVote(undefined, none, voteFor("tea")), { code: "not_found" });
  });
});

describe("withdrawVote()", () => {
  it("withdraws the vote, guarded like a vote", () => {
    const event: NewEvent = {
      type: "VoteWithdrawn",
      data: { poll: 5, voter: "v", previous: ["tea"] },
    };
    assertEquals(withdrawVote(given(opened), ballot(cast(["tea"])), "v"), decided(1, event));
  });

  it("finds no vote before one was cast, and is refused in a closed poll", () => {
    assertRefused(() => withdrawVote(given(opened), none, "v"), { code: "not_found" });
    const late = () => withdrawVote(given(opened, closed), ballot(cast(["tea"])), "v");
    assertRefused(late, { code: "conflict" });
  });
});
