// Garbage written to Redis, some of it under the generation that is served.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { Redis } from "ioredis";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";
import { healthy } from "../faults/outcome.ts";

const PAGES = ["/", "/entries", "/polls", "/polls/1", "/results", "/users", "/items", "/feed.atom"];

const RUBBISH = [
  "",
  " ",
  "x",
  "\u0000",
  "1 2",
  "GEN",
  "GEN ",
  "GEN 1",
  "GEN 1 ",
  "GEN x {}",
  "GEN 1 {",
  "GEN 1 null",
  "GEN 1 []",
  "GEN 1 1",
  'GEN 1 "text"',
  "GEN -1 {}",
  "GEN 1e999 {}",
  'GEN 1 {"entries":1}',
  'GEN 9007199254740991 {"entries":[{}]}',
  'GEN 1 {"__proto__":{"admin":true}}',
  `GEN 1 ${"[".repeat(10_000)}`,
];

let stack: Stack;
let redis: Redis;

async function rubbish(text: string): Promise<number> {
  const keys = await redis.keys("tallybook:v:*");
  const generation = await redis.get("tallybook:lease") ?? "none";
  for (const key of keys) await redis.set(key, text.replace("GEN", generation), "PX", 60_000);
  return keys.length;
}

describe("garbage in Redis", () => {
  before(async () => {
    stack = await startStack({ replicas: 1, env: { RATE_LIMIT: "off" } });
    await healthy(stack.apps);
    redis = new Redis(stack.redisUrl);
  });
  after(async () => {
    redis.disconnect();
    await stack[Symbol.asyncDispose]();
  });

  it("never causes a 5xx, and does not outlive its key", async () => {
    const [url = ""] = stack.appUrls;
    const ask = (path: string) => fetch(url + path, { headers: { accept: "application/json" } });
    const right = new Map<string, string>();
    await waitFor(
      async () => {
        for (const path of PAGES.slice(1)) right.set(path, await (await ask(path)).text());
        return (await redis.keys("tallybook:v:*")).length >= 6;
      },
      10_000,
      "Redis to be used",
    );
    let written = 0;
    for (const text of RUBBISH) {
      written += await rubbish(text);
      for (const path of PAGES) {
        const answer = await ask(path);
        await answer.body?.cancel();
        assertEquals(answer.status, 200, `${path} with ${text.slice(0, 40)}`);
      }
    }
    assert(written > RUBBISH.length, "there was something to overwrite");
    await redis.flushall();
    for (const [path, text] of right) assertEquals(await (await ask(path)).text(), text, path);
  });

  it("copied from another key is not served", async () => {
    const [url = ""] = stack.appUrls;
    const ask = (path: string) => fetch(url + path, { headers: { accept: "application/json" } });
    const right = await (await ask("/polls/1")).text();
    const [items = "", poll = ""] = ["tallybook:v:items:100:0", "tallybook:v:poll:1"];
    await waitFor(
      async () => {
        for (const path of ["/polls/1", "/items"]) await (await ask(path)).body?.cancel();
        return await redis.exists(items, poll) === 2;
      },
      10_000,
      "Redis to be used",
    );
    await redis.set(poll, await redis.get(items) ?? "");
    assertEquals(await (await ask("/polls/1")).text(), right);
  });

  it("of another type under our keys causes no error", async () => {
    const [url = ""] = stack.appUrls;
    for (const key of await redis.keys("tallybook:*")) {
      await redis.del(key);
      await redis.lpush(key, "rubbish");
    }
    for (const path of PAGES) {
      const answer = await fetch(url + path, { headers: { accept: "application/json" } });
      await answer.body?.cancel();
      assertEquals(answer.status, 200, path);
    }
  });
});
