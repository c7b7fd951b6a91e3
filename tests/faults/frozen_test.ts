// A replica that is frozen, not dead, keeps its session and with it the follower's lock: another one
// must notice, take over, and not be disturbed when the frozen one wakes.
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { holderOf } from "./faults.ts";
import { say } from "./long.ts";
import { healthy } from "./outcome.ts";
import { waitFor } from "../support/until.ts";

const TAKEN_OVER_MS = 6000;

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

  it("loses the follower to another one and does not take it back when it wakes", async () => {
    const holder = await waitFor(async () => {
      const found = await holderOf(stack);
      return found < 0 ? false : { found };
    });
    const [frozen, other] = [stack.apps[holder.found], stack.apps[1 - holder.found]];
    const otherUrl = stack.appUrls[1 - holder.found] ?? "";
    if (!frozen || !other) throw new Error("two replicas were asked for");
    await frozen.pause();
    const started = performance.now();
    await waitFor(async () => (await sign(otherUrl)).visible, TAKEN_OVER_MS, "another follower");
    say(`frozen: taken over after ${Math.round(performance.now() - started)} ms`);
    await frozen.resume();
    await healthy(stack.apps);
    assertNotEquals(await holderOf(stack), holder.found);
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
