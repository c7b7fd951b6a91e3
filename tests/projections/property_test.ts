import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { rounds } from "../support/rounds.ts";
import { trial } from "../support/trial.ts";
import fc from "fast-check";
import type { Recorded } from "$events/mod.ts";
import { projections } from "$projections/mod.ts";
import { polls } from "$projections/polls.ts";
import type { Projection } from "$projections/projection.ts";
import { checkReplay, replay } from "$src/projector/replay.ts";
import { readAll } from "$src/store/read.ts";
import { apply, beginning, type Command, command } from "./commands.ts";
import { emptyLog, openLog, type ProjectedLog, readTables } from "./log.ts";
import { modelOf } from "./model.ts";

const SEED = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() % 1_000_000);
const RUNS = rounds(8, 100);

async function eventsOf({ sql }: ProjectedLog): Promise<Recorded[]> {
  const events: Recorded[] = [];
  for await (const event of readAll(sql)) events.push(event);
  return events;
}

/** Concurrent commands share a transaction; one with a stale version is refused. */
async function applyTogether(log: ProjectedLog, commands: Command[]): Promise<number> {
  const taken = await Promise.all(commands.map((one) => apply(log, one)));
  return taken.filter(Boolean).length;
}

async function assertModel(log: ProjectedLog, when: string): Promise<void> {
  assertEquals(await readTables(log.sql), modelOf(await eventsOf(log)), when);
}

/** Fills the new tables up to about the middle, and is then cut off. */
async function replayHalf(log: ProjectedLog, projection: Projection): Promise<void> {
  const stop = new AbortController();
  const onProgress = (done: number, total: number) => {
    if (done >= total / 2) stop.abort(new Error("cut off"));
  };
  await replay(log.sql, projection, { page: 3, signal: stop.signal, onProgress })
    .catch((error) => assert(stop.signal.aborted, String(error)));
}

async function check(log: ProjectedLog, all: Projection[], turns: Command[][]): Promise<void> {
  await emptyLog(log.sql);
  await applyTogether(log, beginning);
  const half = Math.ceil(turns.length / 2);
  for (const commands of turns.slice(0, half)) await applyTogether(log, commands);
  await assertModel(log, "live, the first half");
  for (const projection of all) await replayHalf(log, projection);
  for (const commands of turns.slice(half)) await applyTogether(log, commands);
  await assertModel(log, "live");
  for (const projection of all) await replay(log.sql, projection, { page: 3 });
  await assertModel(log, "replayed half, then continued");
  for (const projection of all) await replay(log.sql, projection);
  await assertModel(log, "replayed at once");
  for (const projection of all) assertEquals(await checkReplay(log.sql, projection), []);
}

const turns = fc.array(fc.array(command, { minLength: 1, maxLength: 6 }), {
  minLength: 1,
  maxLength: 15,
});

/** Wrong on purpose: a changed vote counts for its new option and still for the old one. */
const broken: Projection = {
  ...polls,
  handlers: { ...polls.handlers, VoteChanged: polls.handlers.VoteCast as never },
};

describe("read models", () => {
  let log: ProjectedLog;
  before(async () => {
    log = await openLog();
  });
  after(async () => await log[Symbol.asyncDispose]());

  it(
    "are the same live, replayed, replayed in two halves, and computed by a plain model",
    trial("read models against a model", SEED, async (figure) => {
      const property = fc.asyncProperty(turns, (given) => check(log, projections, given));
      await fc.assert(property, { numRuns: RUNS, seed: SEED });
      figure(`${RUNS} logs`);
    }),
  );

  it("count a vote for an option added later in the same page of a replay", async () => {
    await emptyLog(log.sql);
    const commands: Command[] = [
      { do: "open", id: 1, options: 2, choice: "single" },
      { do: "changePoll", id: 1, change: { options: 3 } },
      { do: "vote", id: 1, voter: 1, options: ["3"] },
    ];
    for (const one of commands) assertEquals(await apply(log, one), true);
    await replay(log.sql, polls);
    await assertModel(log, "replayed");
  });
});

describe("the property of read models", () => {
  it("fails when one projection is wrong", async () => {
    const all = projections.map((one) => one === polls ? broken : one);
    await using log = await openLog(all);
    const property = fc.asyncProperty(turns, (given) => check(log, all, given));
    const options = { numRuns: 100, seed: SEED, endOnFailure: true };
    await assertRejects(() => fc.assert(property, options), Error, "Property failed");
  });
});
