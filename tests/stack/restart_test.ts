// An app process that exits by itself is restarted; one that was stopped on purpose is not.
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type ManagedProcess, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { supervise } from "$src/cli/stack/supervisor.ts";
import { waitFor } from "../support/until.ts";

const APP = "tests/support/fixture_app.ts";

async function answers(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/health/ready`);
  await answer.body?.cancel();
  return answer.ok;
}

/** Ends the process while it answers: the connection breaks off. */
async function die(port: number): Promise<void> {
  await fetch(`http://127.0.0.1:${port}/die`).catch(() => undefined);
}

type Facts = Record<string, { pid: number | null; port: number }>;

/** `deno task stack` in a process of its own, with its output. */
function spawnStack(command: string[]) {
  const flags = ["--allow-net", "--allow-env", "--allow-read", "--allow-write", "--allow-run=sh"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, "src/cli/stack.ts", ...command],
    env: { STACK_APP: APP },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let text = "";
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) text += part;
  };
  const reading = Promise.all([read(child.stdout), read(child.stderr)]);
  return {
    said: () => text,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await reading;
    },
  };
}

describe("deno task stack restarts an app that exits by itself", () => {
  const commands: Record<string, string[]> = {
    "while it serves": [],
    "while a command runs": ["--", "sh", "-c", 'echo "at $STACK_DIR/stack.json"; sleep 1000'],
  };
  for (const [name, command] of Object.entries(commands)) {
    it(name, async () => {
      await using stack = spawnStack(command);
      const path = await waitFor(
        () => stack.said().match(/(\/\S+\/stack\.json)/)?.[1],
        20_000,
        "the stack to say where it is",
      );
      const app = (): Facts[string] => JSON.parse(Deno.readTextFileSync(path))["app-1"];
      const before = app();
      await die(before.port);
      await waitFor(async () => app().pid !== before.pid && await answers(before.port));
      assertMatch(stack.said(), /app-1 ended by itself \(code 1\): starting it again in 0.25 s/);
      await waitFor(() => stack.said().includes("app-1 is ready again"));
    });
  }
});

describe("the supervisor", () => {
  let stack: Stack;
  const said: string[] = [];
  let supervisor: Disposable;
  let one: ManagedProcess;
  let two: ManagedProcess;

  before(async () => {
    stack = await startStack({ replicas: 2, app: APP });
    const [first, second] = stack.apps;
    if (!first || !second) throw new Error("a stack without two apps");
    [one, two] = [first, second];
    supervisor = supervise(stack.apps, (line) => said.push(line));
  });
  after(async () => {
    supervisor[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
  });

  it("waits longer after each exit", async () => {
    for (const seconds of [0.25, 0.5, 1]) {
      const { pid } = one;
      await die(one.port);
      await waitFor(() => said.at(-1) === "app-1 is ready again" && one.pid !== pid);
      assertEquals(said.splice(0), [
        `app-1 ended by itself (code 1): starting it again in ${seconds} s`,
        "app-1 is ready again",
      ]);
    }
  });

  it("does not restart what was stopped or killed, until it is started again", async () => {
    for (const end of [() => one.kill(), () => one.stop()]) {
      await end();
      const { pid } = two;
      assertNotEquals(pid, undefined);
      await die(two.port);
      await waitFor(() => said.at(-1) === "app-2 is ready again");
      assertEquals(one.pid, undefined);
      assertEquals(said.splice(0).filter((line) => line.includes("app-1")), []);
      await one.start();
      assert(await answers(one.port));
    }
  });

  it("does not restart what was killed while it waited for its restart", async () => {
    await die(one.port);
    await waitFor(() => said.some((line) => line.startsWith("app-1 ended by itself")));
    await one.kill();
    await die(two.port);
    await waitFor(() => said.at(-1) === "app-2 is ready again");
    assertEquals(one.pid, undefined);
    await one.start();
  });
});
