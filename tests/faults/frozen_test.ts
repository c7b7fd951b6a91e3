// A frozen replica keeps its session and with it the leader's lock: another replica must notice, take
// over, and stay leader when the frozen one resumes.
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { isLeader, leaderOf } from "./faults.ts";
import { say } from "./long.ts";
import { healthy } from "./outcome.ts";
import { waitFor } from "../support/until.ts";

// The server ends a session that is silent for 2.5 s.
const TAKEN_OVER_MS = 4000;

let stack: Stack;

async function sign(url: string): Promise<{ visible: boolean; id: number }> {
  const answer = await fetch(`${url}/sign`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ name: "Ada", message: "written while one replica is frozen" }),
  });
  assertEquals(answer.status, 201);
  const { id } = await answer.json();
  return { id, visible: answer.headers.get("tallybook-visible") === null };
}

describe("a frozen replica", () => {
  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
    await healthy(stack.apps);
  });
  after(() => stack[Symbol.asyncDispose]());

  it("loses the leadership to another one and does not take it back when it resumes", async () => {
    const leader = await waitFor(async () => {
      const found = await leaderOf(stack);
      return found < 0 ? false : { found };
    });
    const [frozen, other] = [stack.apps[leader.found], stack.apps[1 - leader.found]];
    const otherUrl = stack.appUrls[1 - leader.found] ?? "";
    if (!frozen || !other) throw new Error("two replicas were asked for");
    await frozen.pause();
    const started = performance.now();
    assert((await sign(otherUrl)).visible, "a write waits for no leader");
    await waitFor(() => isLeader(otherUrl), TAKEN_OVER_MS, "another leader");
    say(`frozen: taken over after ${Math.round(performance.now() - started)} ms`);
    await frozen.resume();
    await healthy(stack.apps);
    assertNotEquals(await leaderOf(stack), leader.found);
    for (const url of stack.appUrls) {
      const { id, visible } = await sign(url);
      assert(visible, `visible at once through ${url}`);
      for (const reader of stack.appUrls) {
        const seen = await fetch(`${reader}/entries`, { headers: { accept: "application/json" } });
        const entries: { id: number }[] = await seen.json();
        assert(entries.some((entry) => entry.id === id), `entry ${id} is read at ${reader}`);
      }
    }
  });
});
