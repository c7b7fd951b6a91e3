// Faults under load: 64 clients write and retry, 8 read, while parts of a real stack are killed, frozen
// and cut off. Each fault alone, and in the long form at random for five minutes.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { type Fault, faults } from "./faults.ts";
import { type Load, startLoad } from "./load.ts";
import { LONG, say, seed } from "./long.ts";
import { checkNoneInvented, checkOutcome, healthy } from "./outcome.ts";
import { random } from "./random.ts";
import { trial } from "../support/trial.ts";
import { waitFor } from "../support/until.ts";

const RANDOM_MS = 5 * 60_000;

let stack: Stack;
const loads: Load[] = [];

function load(seed: number): Load {
  const started = startLoad(stack.url, { seed });
  loads.push(started);
  return started;
}

async function warm(running: Load): Promise<void> {
  const enough = running.acknowledged + 200;
  await waitFor(() => running.acknowledged > enough, 30_000, "the clients to be at work");
}

async function underLoad(name: string, fault: Fault, number: number): Promise<void> {
  const next = random(seed + number);
  const running = load(seed * 10 + number);
  await warm(running);
  await fault(stack, next);
  const wellAfter = await healthy(stack.apps);
  await warm(running);
  await running.stop();
  const position = await checkOutcome(stack.databaseUrl, running);
  const statuses = [...running.statuses].sort().map(([what, n]) => `${what}: ${n}`).join(", ");
  say(
    `fault: ${name}: ${running.acknowledged} acknowledged of ${running.issued.size}, log at ` +
      `${position}, healthy after ${wellAfter} ms, slowest ${Math.round(running.slowestMs)} ms; ` +
      statuses,
  );
}

describe(`faults under load (TEST_SEED=${seed})`, () => {
  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
    await healthy(stack.apps);
  });
  after(() => stack[Symbol.asyncDispose]());

  for (const [number, [name, fault]] of Object.entries(faults).entries()) {
    it(`loses and invents nothing: ${name}`, () => underLoad(name, fault, number));
  }

  it("answers writes with 503 and serves stale cached pages while PostgreSQL is down", async () => {
    const json = { accept: "application/json" };
    for (const path of ["/polls/1", "/entries"]) {
      await (await fetch(stack.url + path, { headers: json })).body?.cancel();
    }
    await stack.postgres.kill();
    try {
      const started = performance.now();
      const refused = await fetch(`${stack.url}/sign`, {
        method: "POST",
        headers: { "content-type": "application/json", ...json },
        body: JSON.stringify({ name: "a", message: "b" }),
      });
      assertEquals(refused.status, 503);
      assertEquals(refused.headers.get("content-type"), "application/problem+json");
      assert(Number(refused.headers.get("retry-after")) > 0);
      assertStringIncludes((await refused.json()).detail, "database");
      assert(performance.now() - started < 10_000);
      for (const path of ["/polls/1", "/entries"]) {
        await waitFor(
          async () => {
            const answer = await fetch(stack.url + path, { headers: json });
            await answer.body?.cancel();
            assertEquals(answer.status, 200, path);
            return answer.headers.get("x-cache-status") === "STALE";
          },
          10_000,
          `${path} to be served stale`,
        );
      }
    } finally {
      await stack.postgres.start();
    }
    await healthy(stack.apps);
  });

  if (LONG) {
    it(
      "loses and invents nothing in five minutes of random faults",
      trial("random faults, 5 min", seed, async (figure) => {
        const next = random(seed);
        const running = load(seed * 10 + 9);
        const names = Object.keys(faults);
        const counts = new Map<string, number>();
        const until_ = performance.now() + RANDOM_MS;
        while (performance.now() < until_) {
          await warm(running);
          const name = names[Math.floor(next() * names.length)] ?? "";
          await faults[name]?.(stack, next);
          counts.set(name, (counts.get(name) ?? 0) + 1);
          await healthy(stack.apps);
        }
        await running.stop();
        await checkOutcome(stack.databaseUrl, running);
        figure([...counts].map(([name, count]) => `${name} ${count}x`).join("; "));
        figure(
          `${running.acknowledged} acknowledged of ${running.issued.size}, none lost or invented`,
        );
      }),
    );
  }

  it("stored no event that no client issued, over all faults", () =>
    checkNoneInvented(stack.databaseUrl, loads));
});
