// Runs a task of this project as a person does: in another process, with an environment of its own.

export type Run = { code: number; stdout: string; stderr: string };

const root = new URL("../..", import.meta.url).pathname;
const KEEP = ["PATH", "HOME", "DENO_DIR", "TMPDIR"];

/** The first word is a task of deno.json; the environment of this process does not reach it. */
export async function task(
  words: string[],
  env: Record<string, string>,
  stdin?: string,
): Promise<Run> {
  const child = spawnTask(words, env, stdin === undefined ? "null" : "piped");
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    // A task that refuses its input may end before it has read it all.
    await writer.write(new TextEncoder().encode(stdin)).catch(() => undefined);
    await writer.close().catch(() => undefined);
  }
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

export function spawnTask(
  [name = "", ...args]: string[],
  env: Record<string, string>,
  stdin: "null" | "piped" = "null",
): Deno.ChildProcess {
  const kept = KEEP.flatMap((key) => {
    const value = Deno.env.get(key);
    return value === undefined ? [] : [[key, value]];
  });
  return new Deno.Command(Deno.execPath(), {
    args: [...commandOf(name), ...args],
    cwd: root,
    env: { ...Object.fromEntries(kept), ...env },
    clearEnv: true,
    stdin,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** The flags that `deno task` would pass, without the process of `deno task` in between. */
function commandOf(name: string): string[] {
  const { tasks } = JSON.parse(Deno.readTextFileSync(`${root}/deno.json`));
  const [, run = "run", ...flags] = String(tasks[name]).split(" ");
  return [run, "--quiet", "--no-prompt", ...flags];
}
