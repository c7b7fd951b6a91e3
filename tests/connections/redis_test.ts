// A Redis that hangs, and a process that is merely busy itself.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, beforeEach, describe, it } from "@std/testing/bdd";
import { setImmediate } from "node:timers";
import { RedisClient } from "$src/connections/redis.ts";
import { openService, type Service } from "../support/service.ts";
import { report } from "../support/report.ts";
import { waitFor } from "../support/until.ts";

const READERS = 500;
const COMMAND_MS = 40;
const BUSY_MS = 4;

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

function block(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

/** Work in each turn of the event loop; returns how long the longest turn took. */
function busy(): () => number {
  let [last, longest, over] = [performance.now(), 0, false];
  const work = () => {
    block(BUSY_MS);
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
    if (!over) setImmediate(work);
  };
  setImmediate(work);
  return () => {
    over = true;
    return longest;
  };
}

describe("the connection to Redis", () => {
  let service: Service;
  let link: RedisClient;
  before(async () => {
    service = await openService();
    link = new RedisClient(service.place.redis?.url ?? "");
  });
  after(async () => {
    await link[Symbol.asyncDispose]();
    await service[Symbol.asyncDispose]();
  });
  beforeEach(() => waitFor(() => link.isAvailable));

  const ask = () => link.run((redis) => redis.get("anything"));
  const hang = () => service.place.redis?.part.pause();
  const goOn = () => service.place.redis?.part.resume();

  async function waited(): Promise<number> {
    const asked = performance.now();
    await assertRejects(ask);
    return performance.now() - asked;
  }

  it("delays each caller by its timeout at most when Redis hangs, however many wait in a busy process", async () => {
    await hang();
    const stop = busy();
    const times = await Promise.all(Array.from({ length: READERS }, async (_, i) => {
      await pause(i % 30);
      return await waited();
    }));
    const longest = stop();
    await goOn();
    const worst = Math.max(...times);
    report(
      `${READERS} readers of a Redis that hangs, turns of up to ${longest.toFixed(1)} ms: ` +
        `worst wait ${worst.toFixed(1)} ms`,
    );
    assert(worst <= COMMAND_MS + 3 * longest, `${worst} ms with turns of ${longest} ms`);
  });

  it("releases all waiting callers as soon as one has timed out", async () => {
    await hang();
    const first = waited();
    await pause(COMMAND_MS / 2);
    const second = await waited();
    await first;
    await goOn();
    assert(second < COMMAND_MS - 5, `the second waited ${second} ms`);
  });

  it("does not take a blocked event loop for a hang of Redis", async () => {
    for (let i = 0; i < 50; i++) {
      const asked = ask();
      // The command is sent, but its reply is not read while this blocks.
      await new Promise((done) => setImmediate(() => done(undefined)));
      block(COMMAND_MS + 10);
      await asked;
    }
    assertEquals(link.isAvailable, true);
  });

  it("does not count a view twice that Redis applied after the timeout", async () => {
    const { visits } = service.services;
    const total = () => visits.total("/late", () => Promise.resolve(0));
    await waitFor(() => service.services.redis?.isAvailable);
    await hang();
    await visits.count("/late");
    await goOn();
    await waitFor(() => service.services.redis?.isAvailable);
    await waitFor(async () => await total() > 0);
    assertEquals(await total(), 1);
  });
});
