// Start and shutdown: SIGTERM loses no request under way, and a service started early waits for its
// database.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { freePort, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { asOwner, leaderOf, someAppendWaits } from "./faults.ts";
import { healthy } from "./outcome.ts";
import { waitFor } from "../support/until.ts";

const WITHIN_MS = 10_000;
const JSON_TYPE = { "content-type": "application/json", accept: "application/json" };

type Process = AsyncDisposable & {
  url: string;
  said: () => string;
  term(): void;
  ended: Promise<Deno.CommandStatus>;
};

let stack: Stack;
let sql: Sql;

/**
 * One more replica whose exit code and output are observed; without Redis, so that it counts
 * views by itself.
 */
function replica(): Process {
  const port = freePort();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "-A", "src/main.ts"],
    env: {
      ...stack.env,
      REDIS_URL: "",
      OWNER_DATABASE_URL: "",
      ACCESS_LOG: "",
      HOST: "127.0.0.1",
      PORT: String(port),
      DATA_DIR: `${stack.dir}/data`,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let text = "";
  let over = false;
  const reading = (async () => {
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) text += part;
  })();
  const ended = child.status.finally(() => over = true);
  return {
    url: `http://127.0.0.1:${port}`,
    said: () => text,
    term: () => child.kill("SIGTERM"),
    ended,
    async [Symbol.asyncDispose]() {
      if (!over) child.kill("SIGKILL");
      await ended;
      await reading;
    },
  };
}

async function ready(url: string, withinMs = 20_000): Promise<void> {
  await waitFor(
    async () => {
      const answer = await fetch(`${url}/health/ready`);
      await answer.body?.cancel();
      return answer.status === 200;
    },
    withinMs,
    `${url} to be ready`,
  );
}

function post(url: string, body: unknown): Promise<Response> {
  return fetch(url, { method: "POST", headers: JSON_TYPE, body: JSON.stringify(body) });
}

describe("start and shutdown", () => {
  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
    sql = connect(stack.databaseUrl, { max: 2 });
    await healthy(stack.apps);
  });
  after(async () => {
    await sql.end({ timeout: 5 });
    await stack[Symbol.asyncDispose]();
  });

  it("SIGTERM finishes open requests, writes views to the log, ends streams and exits with 0", async () => {
    await using app = replica();
    await ready(app.url);
    for (let i = 0; i < 3; i++) {
      await (await post(`${app.url}/visits`, { page: "/leaving" })).text();
    }
    const stream = await fetch(`${app.url}/polls/1/live`);
    const heard = stream.text();
    const started = await asOwner(stack, (owner) =>
      owner.begin(async (tx) => {
        // The write is under way and cannot be finished before the signal arrives.
        await tx`select from counter for update`;
        const open = post(`${app.url}/sign`, { name: "Ada", message: "at the last moment" });
        await waitFor(() => someAppendWaits(tx));
        app.term();
        await waitFor(() => heard.then(() => true), WITHIN_MS, "the stream to end");
        return { open, at: performance.now() };
      }));
    const answer = await started.open;
    assertEquals(answer.status, 201);
    await answer.body?.cancel();
    assertEquals(await app.ended, { success: true, code: 0, signal: null });
    assert(performance.now() - started.at < WITHIN_MS, "it left within 10 s");
    assertStringIncludes(await heard, "retry: 1000");
    const [views] = await sql<{ count: number }[]>`
      select (data->>'count')::int as count from events where stream = 'visits-/leaving'`;
    assertEquals(views?.count, 3);
  });

  it("SIGTERM hands the leadership over at once", async () => {
    const leader = await waitFor(async () => {
      const found = await leaderOf(stack);
      return found < 0 ? false : { found };
    });
    await stack.apps[leader.found]?.stop();
    const url = stack.appUrls[1 - leader.found];
    const answer = await post(`${url}/sign`, { name: "Ada", message: "under another follower" });
    await answer.body?.cancel();
    assertEquals(answer.status, 201);
    assertEquals(answer.headers.get("tallybook-visible"), null);
    await stack.apps[leader.found]?.start();
  });

  it("a service started before its database logs that it waits, and becomes ready with the database", async () => {
    await stack.postgres.stop();
    await using app = replica();
    await waitFor(() => app.said().includes("waiting for the database"), 15_000, "the words");
    await stack.postgres.start();
    await ready(app.url, 10_000);
  });

  it("a service that is stopped while it waits for its database exits with 0", async () => {
    await stack.postgres.stop();
    await using app = replica();
    await waitFor(() => app.said().includes("waiting for the database"), 15_000, "the words");
    app.term();
    assertEquals((await app.ended).code, 0);
    await stack.postgres.start();
  });
});
