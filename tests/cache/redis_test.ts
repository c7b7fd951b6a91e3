import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { Redis } from "ioredis";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { CacheStatusClient } from "../support/client.ts";
import { type Load, underLoad } from "../support/load.ts";
import { waitFor } from "../support/until.ts";
import { distribution } from "../freshness/trial.ts";
import { report } from "../support/report.ts";

const more = (load: Load, count: number) => {
  const from = load.writes.length;
  return waitFor(() => load.writes.length >= from + count, 30_000);
};

describe("when Redis fails under load", () => {
  let stack: Stack;

  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
    using client = new CacheStatusClient(stack.url);
    await client.send("POST", "/items", { name: "first" });
  });
  after(() => stack[Symbol.asyncDispose]());

  /** Waits until hits increase again: values are stored and served. */
  async function assertUsedAgain(): Promise<void> {
    for (const url of stack.appUrls) {
      const before = await hits(url);
      await waitFor(async () => {
        await fetch(`${url}/items`).then(({ body }) => body?.cancel());
        return await hits(url) > before;
      });
    }
  }

  const faults: [string, (load: Load) => Promise<void>][] = [
    ["is killed and started again", async (load) => {
      await stack.redis.kill();
      await more(load, 10);
      await stack.redis.start();
      await more(load, 10);
    }],
    ["hangs and goes on", async (load) => {
      for (let round = 0; round < 3; round++) {
        await stack.redis.pause();
        await more(load, 5);
        await stack.redis.resume();
        await more(load, 5);
      }
    }],
    ["is flushed", async (load) => {
      const redis = new Redis(stack.redisUrl);
      for (let round = 0; round < 10; round++) {
        await redis.flushall();
        await more(load, 3);
      }
      redis.disconnect();
    }],
    ["is restarted", async (load) => {
      await stack.redis.restart();
      await more(load, 20);
    }],
  ];

  for (const [what, fault] of faults) {
    it(`no request fails and no response is stale after Redis ${what}`, async () => {
      const load = await underLoad(stack, async (load) => {
        await more(load, 5);
        await fault(load);
      });
      const { reads, writes, failed, stale, pending } = load;
      report(
        `Redis ${what}: reads ${distribution(reads)}; writes ${distribution(writes)}; ` +
          `${pending} pending of ${writes.length}`,
      );
      assertEquals(failed, []);
      assertEquals(stale, []);
      await assertUsedAgain();
    });
  }

  it("a write made while Redis is paused is visible when Redis resumes", async () => {
    using client = new CacheStatusClient(stack.url);
    const readers = stack.appUrls.map((url) => new CacheStatusClient(url));
    for (let round = 0; round < 3; round++) {
      const name = `slept through ${round}.`;
      for (const reader of readers) await reader.get("/items/1");
      await stack.redis.pause();
      await client.send("PUT", "/items/1", { name });
      await stack.redis.resume();
      for (const reader of readers) {
        const { text } = await reader.get("/items/1");
        assert(text.includes(name), text);
      }
    }
    for (const reader of readers) reader[Symbol.dispose]();
  });

  it("a Redis that hangs delays each replica's readers by 50 ms at most, and only once", async () => {
    await assertUsedAgain();
    await stack.redis.pause();
    const [url = ""] = stack.appUrls;
    const times: number[] = [];
    for (let i = 0; i < 40; i++) {
      const asked = performance.now();
      await fetch(`${url}/items/${i}`).then(({ body }) => body?.cancel());
      times.push(performance.now() - asked);
    }
    await stack.redis.resume();
    report(
      `first reads of a Redis that hangs: ${times.slice(0, 3).map((ms) => ms.toFixed(0))} ms; ` +
        distribution(times.slice(1)),
    );
    const slow = times.filter((ms) => ms >= 40).length;
    // The breaker's probe may delay one more reader; a busy machine makes a few slow by itself.
    assert(slow <= 5, `${slow} of 40 waited: ${times.map(Math.round)}`);
  });
});

async function hits(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = /^tallybook_cache_lookups\{cache="answers",kind="items",result="hit"\} (\d+)$/m;
  return Number(text.match(line)?.[1] ?? 0);
}
