import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { readLog } from "../support/access_log.ts";
import { rounds } from "../support/rounds.ts";
import { trial } from "../support/trial.ts";
import { distribution, freshnessTrial, hitTrial } from "./trial.ts";

describe("through Nginx, with two replicas and eight readers", () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
  });
  after(() => stack[Symbol.asyncDispose]());

  it(
    "every write is seen by the next reader",
    trial("freshness", undefined, async (figure) => {
      const count = rounds(1000, 10_000);
      const seen = await freshnessTrial(stack, count);
      const reads = (await readLog(stack.accessLog)).filter(({ method }) => method === "GET");
      figure(
        `${seen.writes} writes to ${seen.reads} reads: ${seen.stale.length} stale, ` +
          `${seen.pending} pending`,
      );
      figure(`answered after ${distribution(seen.answered)}`);
      figure(`seen fresh after ${distribution(seen.seen)}`);
      assertEquals(seen.stale, []);
      assertEquals(seen.writes, count);
      assertEquals(reads.length, seen.reads, "reads in the access log");
    }),
  );

  it(
    "94 of 100 reads never reach the app, at 95 reads to 5 writes of 20 pages, as HTML and as JSON",
    trial("hits", undefined, async (figure) => {
      const { reads, hits, stale } = await hitTrial(stack, rounds(500, 5000));
      figure(`${reads} reads, hit rate ${(hits / reads).toFixed(3)}, ${stale.length} stale`);
      assertEquals(stale, []);
      assert(hits / reads >= 0.94, `hit rate ${hits / reads}`);
    }),
  );
});
