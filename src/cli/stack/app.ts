// The app's processes, each as `deno run` with the permissions that the service needs here, by name.
import type { ProcessGroup } from "./process_group.ts";
import { ManagedProcess } from "./managed_process.ts";
import { freePort } from "./ports.ts";

export type AppOptions = {
  root: string;
  /** What to run in place of src/main.ts. */
  script: string;
  env: Record<string, string>;
  changed: () => void;
};

// What a request holds lives for as long as its batch: a young heap of 8 MB copied much of it each time.
// The old one is looked through before it has doubled, or memory would be paid for time that nobody
// misses. deno task bench http says what the app has under load, and bench profile what collecting costs.
// The same stands in deno.json and in the Dockerfile.
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

/** Runs the migrations as the superuser; they make the service's role and its rights. */
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
