// An unhandled rejection does not end the service.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { asOwner } from "./faults.ts";
import { healthy } from "./outcome.ts";
import { waitFor } from "../support/until.ts";

const CLIENTS = 20;

let stack: Stack;

const pids = () => stack.apps.map(({ pid }) => pid);

async function rejections(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(text.match(/^tallybook_unhandled_rejections_total (\d+)$/m)?.[1] ?? NaN);
}

function logLines(name: string): Record<string, unknown>[] {
  return Deno.readTextFileSync(stack.keeper.logFile(name)).split("\n")
    .filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}

describe("rejected promises", () => {
  before(async () => {
    stack = await startStack({
      replicas: 2,
      env: { RATE_LIMIT: "off" },
      app: "tests/faults/failing_app.ts",
    });
    await healthy(stack.apps);
  });
  after(() => stack[Symbol.asyncDispose]());

  it("of connections that end while opening end no replica and are all handled", async () => {
    const before = pids();
    await asOwner(stack, (sql) =>
      sql.begin(async (tx) => {
        await tx`lock table pg_catalog.pg_type in access exclusive mode`;
        await tx`
          select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tallybook'`;
        const asked = Promise.all(stack.appUrls.flatMap((url) =>
          Array.from({ length: CLIENTS }, async (_, i) => {
            const answer = await fetch(`${url}/entries?limit=${i + 1}`);
            await answer.body?.cancel();
            return answer.status;
          })
        ));
        let over = false;
        asked.finally(() =>
          over = true
        );
        await waitFor(async () => {
          await tx`select pg_stat_clear_snapshot()`;
          await tx`
            select pg_terminate_backend(pid) from pg_stat_activity
            where usename = 'tallybook' and wait_event_type = 'Lock'`;
          return over;
        }, 20_000);
        for (const status of await asked) assert([200, 503].includes(status), String(status));
      }));
    await healthy(stack.apps, 10_000);
    assertEquals(pids(), before);
    for (const url of stack.appUrls) assertEquals(await rejections(url), 0);
  });

  it("that nothing handles are logged as errors and counted, and end no replica", async () => {
    const before = pids();
    const [app] = stack.apps;
    const [url = ""] = stack.appUrls;
    await app?.signal("USR1");
    await waitFor(async () => await rejections(url) === 1);
    const line = logLines("app-1").find(({ level }) => level === "error");
    assertEquals(line?.event, "process.unhandled_rejection");
    assertEquals(line?.error, "rejected beside the service");
    assert(String(line?.stack).includes("failing_app.ts"), String(line?.stack));
    await healthy(stack.apps);
    assertEquals(pids(), before);
  });
});
