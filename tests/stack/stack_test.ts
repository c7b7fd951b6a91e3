import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { waitFor } from "../support/until.ts";
import { tryShell } from "$src/cli/stack/shell.ts";

const PERMISSIONS = [
  "--allow-net",
  "--allow-env",
  "--allow-read",
  "--allow-write",
  "--allow-run=sh",
];

// Prints the directory and, in one line, every process of the stack, including PostgreSQL's children.
const LIST = `echo "$STACK_DIR"; echo $(for file in "$STACK_DIR"/pids/*; do
  read -r pid <"$file"; echo "$pid"; cat "/proc/$pid/task/$pid/children"; done)`;

type Started = { child: Deno.ChildProcess; dir: string; pids: string[]; startedInMs: number };

/** Runs the stack with a command that does `first`, lists the processes, and goes on with `rest`. */
async function start(rest: string, first = ":"): Promise<Started> {
  const began = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...PERMISSIONS, "src/cli/stack.ts", "--replicas", "2", "--", "sh", "-c"].concat(
      `${first}\n${LIST}; ${rest}`,
    ),
    env: { STACK_APP: "tests/support/fixture_app.ts" },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const [dir = "", listed = ""] = await firstLines(child.stdout, 2);
  const startedInMs = performance.now() - began;
  const pids = listed.split(" ");
  assertMatch(dir, /tallybook-/);
  assert(pids.length >= 10, `all processes listed: ${pids}`);
  return { child, dir, pids, startedInMs };
}

async function firstLines(stream: ReadableStream<Uint8Array>, count: number): Promise<string[]> {
  let text = "";
  for await (const chunk of stream.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.split("\n").length > count) break;
  }
  return text.split("\n");
}

async function isAlive(pid: string): Promise<boolean> {
  const running = `kill -0 "$1" && ! grep -q '^State:.*Z' "/proc/$1/status"`;
  return await tryShell(running, pid) !== undefined;
}

async function assertNothingLeft({ dir, pids }: Started): Promise<void> {
  const alive = await Promise.all(pids.map(isAlive));
  assertEquals(pids.filter((_, index) => alive[index]), [], "processes left");
  assertEquals(await exists(dir), false, `directory left: ${dir}`);
  await waitFor(async () => await processesNaming(dir) === "", 2000, `no process to name ${dir}`);
}

/** Searches for the name without having it on a command line. */
async function processesNaming(dir: string): Promise<string> {
  const search = 'printf %s "$NEEDLE" | grep -lsaF -f - /proc/[0-9]*/cmdline';
  const command = new Deno.Command("sh", { args: ["-c", search], env: { NEEDLE: dir } });
  return new TextDecoder().decode((await command.output()).stdout);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

describe("deno task stack", () => {
  it("starts in less than 5 seconds and leaves nothing behind", async () => {
    const stack = await start("true");
    assertEquals((await stack.child.status).code, 0);
    await assertNothingLeft(stack);
    const line = `stack with 2 replicas: started in ${Math.round(stack.startedInMs)} ms\n`;
    Deno.stdout.writeSync(new TextEncoder().encode(line));
    assert(stack.startedInMs < 5000, line);
  });

  it("returns the command's exit code", async () => {
    const stack = await start("exit 7");
    assertEquals((await stack.child.status).code, 7);
    await assertNothingLeft(stack);
  });

  it("ends processes that the command left running", async () => {
    const stack = await start("exit 0", "sleep 1000 >/dev/null &");
    assertEquals((await stack.child.status).code, 0);
    await assertNothingLeft(stack);
  });

  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    it(`leaves nothing behind after ${signal}`, async () => {
      const stack = await start("sleep 1000");
      stack.child.kill(signal);
      assertEquals((await stack.child.status).code, code);
      await assertNothingLeft(stack);
    });
  }

  it("leaves nothing behind when it is killed itself", async () => {
    const stack = await start("sleep 1000");
    stack.child.kill("SIGKILL");
    await stack.child.status;
    await waitFor(async () => !await exists(stack.dir), 10_000, "the directory to go");
    await assertNothingLeft(stack);
  });

  it("reports why the app did not start, and leaves nothing behind", async () => {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", ...PERMISSIONS, "src/cli/stack.ts", "--", "true"],
      env: { STACK_APP: "tests/support/no_such_app.ts" },
    });
    const { code, stderr } = await command.output();
    const said = new TextDecoder().decode(stderr);
    assertEquals(code, 1);
    assertMatch(said, /app-1 did not start.*\n.*no_such_app/s);
  });
});
