// The app's processes, each a `deno run` with named permissions.
import type { ProcessGroup } from "./process_group.ts";
import { ManagedProcess } from "./managed_process.ts";
import { freePort } from "./ports.ts";

export type AppOptions = {
  root: string;
  /** The script to run instead of src/main.ts. */
  script: string;
  env: Record<string, string>;
  changed: () => void;
};

// Objects of a request live as long as their batch, so a young generation of 8 MB copied many of them at
// each collection. The old generation is collected before it doubles: memory matters more than the time
// saved. `deno task bench http` measures memory under load, `bench profile` the cost of collection.
// deno.json and the Dockerfile have the same flags.
const HEAP = "--v8-flags=--max-semi-space-size=16,--heap-growing-percent=60";

const HOSTS = "127.0.0.1,localhost,0.0.0.0";

export function createApp(
  keeper: ProcessGroup,
  number: number,
  options: AppOptions,
): ManagedProcess {
  const port = freePort();
  const { root, script, env, changed } = options;
  const dataDir = `${keeper.dir}/data`;
  const permissions = [
    `--allow-net=${HOSTS}`,
    "--allow-env",
    "--allow-sys",
    `--allow-read=${root},${keeper.dir}`,
    `--allow-write=${dataDir}`,
  ];
  return new ManagedProcess(keeper, {
    name: `app-${number}`,
    port,
    phase: "app",
    cwd: root,
    argv: [Deno.execPath(), "run", "--quiet", "--no-prompt", HEAP, ...permissions, script],
    env: { ...env, HOST: "127.0.0.1", PORT: String(port), DATA_DIR: dataDir },
    ready: () => isReady(port),
  }, changed);
}

async function isReady(port: number): Promise<boolean> {
  const signal = AbortSignal.timeout(2000);
  const answer = await fetch(`http://127.0.0.1:${port}/health/ready`, { signal });
  await answer.body?.cancel();
  return answer.status === 200;
}

/** Runs the migrations as the superuser; they create the service's role and its rights. */
export async function migrate(keeper: ProcessGroup, options: AppOptions): Promise<void> {
  const script = `${options.root}/src/cli/migrate.ts`;
  if (!await exists(script)) return;
  const permissions = [`--allow-net=${HOSTS}`, "--allow-env", "--allow-read", "--allow-sys"];
  const argv = [Deno.execPath(), "run", "--quiet", "--no-prompt", ...permissions, script];
  const { root: cwd, env } = options;
  const run = keeper.spawn("migrate", argv, { phase: "app", cwd, env, output: "log" });
  const { success } = await run.ended;
  if (!success) throw new Error(`migrations failed:\n${keeper.logTail("migrate")}`);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
