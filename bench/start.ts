// deno task bench start: the time from the start to the first answer, compared with a bare handler.
import { say } from "$src/cli/run.ts";
import { freePort, type Servers, startServers } from "$src/cli/stack/mod.ts";
import { shell } from "$src/cli/stack/shell.ts";
import { AppError } from "$src/errors.ts";
import { type Figure, median, report } from "./figures.ts";

const ROUNDS = 3;

export async function benchStart(): Promise<void> {
  await using servers = await startServers({ say });
  const starts: Record<string, () => Promise<number>> = {
    "embedded, the first time": () => serve(servers, {}),
    "embedded, on data that is there": () => again(servers),
    "with PostgreSQL and Redis": () => serve(servers, serversOf(servers)),
  };
  const times = new Map<string, number[]>();
  const bare: number[] = [];
  await Deno.writeTextFile(`${servers.dir}/empty`, "{}");
  for (let round = 0; round < ROUNDS; round++) {
    bare.push(await bareStart(servers));
    for (const [name, start] of Object.entries(starts)) {
      say(`measuring a start ${name}`);
      times.set(name, [...times.get(name) ?? [], await start()]);
    }
  }
  const limit = { name: "bare Hono handler", value: median(bare) };
  const figures = [...times].map(([name, found]): Figure => {
    const ours = median(found);
    return { name: `start ${name}`, unit: "ms", ours, limit, ratio: ours / limit.value };
  });
  const suite = await firstTest();
  figures.push({
    name: "deno task test, to the end of one small test",
    unit: "ms",
    ours: suite,
    limit,
    ratio: suite / limit.value,
  });
  await report("start", {}, figures);
}

function serversOf({ ownerDatabaseUrl, redisUrl }: Servers): Record<string, string> {
  return {
    DATABASE_URL: ownerDatabaseUrl,
    OWNER_DATABASE_URL: ownerDatabaseUrl,
    REDIS_URL: redisUrl,
  };
}

async function again(servers: Servers): Promise<number> {
  const dir = await Deno.makeTempDir({ dir: servers.dir });
  await serve(servers, { DATA_DIR: dir });
  return await serve(servers, { DATA_DIR: dir });
}

async function serve(servers: Servers, env: Record<string, string>): Promise<number> {
  const port = freePort();
  const own = { PORT: String(port), HOST: "127.0.0.1", DATABASE_URL: "", REDIS_URL: "" };
  const dir = env.DATA_DIR ?? await Deno.makeTempDir({ dir: servers.dir });
  const { tasks } = JSON.parse(await Deno.readTextFile("deno.json"));
  if (env.OWNER_DATABASE_URL) await migrated(env);
  const [, ...words] = String(tasks.start).split(" ");
  return await untilAnswer(words, { ...own, ...env, DATA_DIR: dir }, port);
}

async function migrated(env: Record<string, string>): Promise<void> {
  const args = ["-c", '"$1" task migrate', "sh", Deno.execPath()];
  const { success, stderr } = await new Deno.Command("sh", { args, env }).output();
  if (!success) throw new AppError("unavailable", new TextDecoder().decode(stderr));
}

async function bareStart({ dir }: Servers): Promise<number> {
  const port = freePort();
  const script = new URL("bare.ts", import.meta.url).pathname;
  const rights = ["--allow-net", `--allow-read=${dir}`];
  const words = ["run", ...rights, script, String(port), `${dir}/empty`, `${dir}/empty`];
  return await untilAnswer(words, {}, port);
}

/** Starts the program through `sh`, the only program that a benchmark may run. */
async function untilAnswer(words: string[], env: Record<string, string>, port: number) {
  const started = performance.now();
  const child = new Deno.Command("sh", {
    args: ["-c", 'exec "$@"', "sh", Deno.execPath(), ...words],
    env,
    stdout: "null",
    stderr: "null",
  }).spawn();
  let over = false;
  child.status.then(() => over = true);
  while (!await answers(port)) {
    if (over) throw new AppError("unavailable", `did not start: ${words.join(" ")}`);
    await new Promise((done) => setTimeout(done, 5));
  }
  const ms = performance.now() - started;
  await shell('kill -TERM "$1"', String(child.pid));
  await child.status;
  return ms;
}

async function answers(port: number): Promise<boolean> {
  try {
    const { body } = await fetch(`http://127.0.0.1:${port}/health/live`);
    await body?.cancel();
    return true;
  } catch {
    // The port is not open yet.
    return false;
  }
}

async function firstTest(): Promise<number> {
  const started = performance.now();
  await shell('"$1" task test tests/support/junit', Deno.execPath());
  return performance.now() - started;
}
