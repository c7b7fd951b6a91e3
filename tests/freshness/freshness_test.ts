import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { readLog } from "../support/access_log.ts";
import { report } from "../support/report.ts";
import { rounds } from "../support/rounds.ts";
import { distribution, freshnessTrial } from "./trial.ts";

describe("through Nginx, with two replicas and eight readers", () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
  });
  after(() => stack[Symbol.asyncDispose]());

  it("every write is seen by the next reader, and 95 of 100 reads never reach the app", async () => {
    const count = rounds(1000, 10_000);
    const trial = await freshnessTrial(stack, count);
    const reads = (await readLog(stack.accessLog)).filter(({ method, refresh }) =>
      method === "GET" && refresh === ""
    );
    const hits = reads.filter(({ cache }) => cache === "HIT").length;
    report(
      `${trial.writes} writes to ${trial.reads} reads: ${trial.stale.length} stale, ` +
        `${trial.pending} pending; answered after ${distribution(trial.answered)}; ` +
        `seen fresh after ${distribution(trial.seen)}; ` +
        `Nginx' hit rate ${(hits / reads.length).toFixed(3)}`,
    );
    assertEquals(trial.stale, []);
    assertEquals(trial.writes, count);
    assertEquals(reads.length, trial.reads, "reads in the access log");
    assert(hits / reads.length >= 0.95, `hit rate ${hits / reads.length}`);
  });
});
