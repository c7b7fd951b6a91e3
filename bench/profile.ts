// deno task bench profile: compares the processor time of a request with that of the bare handler, for each
// process, and breaks the app's time down by area.
import { say } from "$src/cli/run.ts";
import {
  ensureTools,
  type ManagedProcess,
  type Stack,
  startStack,
  waitFor,
} from "$src/cli/stack/mod.ts";
import { shell } from "$src/cli/stack/shell.ts";
import { AppError } from "$src/errors.ts";
import { cost } from "./cpu.ts";
import { type Figure, report } from "./figures.ts";
import { startBare, VOTE } from "./limits.ts";
import { requestsPerSecond } from "./wrk.ts";

const SECONDS = 6;
const WARM_SECONDS = 3;
const CONNECTIONS = 128;

type Load = { what: string; ours: string; bare: string; body?: string };

export async function benchProfile(): Promise<void> {
  await ensureTools(["wrk"], say);
  const app = new URL("profiled.ts", import.meta.url).pathname;
  await using stack = await startStack({ env: { RATE_LIMIT: "off" }, app, say });
  const bare = await startBare(stack);
  const [url = ""] = stack.appUrls;
  const loads: Load[] = [
    { what: "vote", ours: `${url}/polls/1/votes`, bare: `${bare.url}/vote`, body: VOTE },
    { what: "cached read", ours: `${url}/entries`, bare: `${bare.url}/page` },
  ];
  const figures: Figure[] = [];
  for (const load of loads) figures.push(...await profiled(stack, load, bare.part));
  await report("profile", { connections: String(CONNECTIONS) }, figures);
}

async function profiled(stack: Stack, load: Load, bare: ManagedProcess): Promise<Figure[]> {
  const { what, body } = load;
  const during = async (url: string, seconds: number) =>
    await requestsPerSecond({ url, body, seconds, connections: CONNECTIONS }) * seconds;
  say(`profiling a ${what}`);
  const floor = await cost({ bare: [bare] }, () => during(load.bare, SECONDS));
  const limit = { name: "bare handler, all of it", value: floor.bare ?? 0 };
  await during(load.ours, WARM_SECONDS);
  const [app, ...others] = stack.apps;
  if (app === undefined) throw new AppError("unavailable", "the stack has no app");
  const processes = {
    "the app": [app],
    "the other replica": others,
    "PostgreSQL": [stack.postgres],
    "Redis": [stack.redis],
    "Nginx": [stack.nginx],
  };
  const figure = (name: string, ours: number): Figure => (
    { name: `${what}: ${name}`, unit: "us", ours, limit, ratio: ours / limit.value }
  );
  const costs = await cost(processes, () => during(load.ours, SECONDS));
  const areas = await sharesOf(stack, app, () => during(load.ours, SECONDS));
  return [
    ...Object.entries(costs).map(([name, ours]) => figure(name, ours)),
    ...areas.map(([area, share]) => figure(`of the app, ${area}`, share * (costs["the app"] ?? 0))),
  ];
}

type Node = { id: number; callFrame: { functionName: string; url: string } };
type Profile = { nodes: Node[]; samples: number[]; timeDeltas: number[] };

/** The share of each area in the app's time, the largest first. */
async function sharesOf(
  { dir }: Stack,
  app: ManagedProcess,
  load: () => Promise<number>,
): Promise<[string, number][]> {
  const path = `${dir}/data/profile.json`;
  await shell('kill -USR1 "$1"', String(app.pid));
  await load();
  await shell('kill -USR2 "$1"', String(app.pid));
  await waitFor(() => Deno.stat(path).then(() => true, () => false), 10_000, "the profile");
  const profile: Profile = JSON.parse(await Deno.readTextFile(path));
  await Deno.remove(path);
  const areas = new Map(profile.nodes.map((node) => [node.id, areaOf(node)]));
  const times = new Map<string, number>();
  profile.samples.forEach((id, i) => {
    const area = areas.get(id);
    if (area) times.set(area, (times.get(area) ?? 0) + Math.max(0, profile.timeDeltas[i] ?? 0));
  });
  const total = times.values().reduce((sum, time) => sum + time, 0);
  if (total === 0) throw new AppError("unavailable", "the profile has no samples");
  return [...times].map(([area, time]): [string, number] => [area, time / total])
    .sort(([, a], [, b]) => b - a);
}

const AREAS: [RegExp, string][] = [
  [/\/inspector|bench\/profiled/, ""],
  [/npm\/.*\/hono\//, "Hono"],
  [/npm\/.*\/postgres\//, "the PostgreSQL client"],
  [/npm\/.*\/ioredis\//, "the Redis client"],
  [/npm\/.*\/zod\//, "checking against schemas"],
  [/npm\/.*\/prom-client\//, "metrics"],
  [/\/src\/(http|routes|pages)\/|\/src\/(app|main)\.ts/, "our requests and answers"],
  [/\/src\/(cache|freshness|leader|access)\/|\/src\/(cache|live)\.ts/, "our caches"],
  [/\/(src|events|projections)\//, "our decisions and appends"],
  [/ext:deno_(http|fetch|webidl|web|url)\//, "HTTP in Deno"],
  [/ext:|node:/, "timers, sockets and hashes in Deno"],
];

/** Undefined for idle time and for the profiler's own work. */
function areaOf({ callFrame: { functionName, url } }: Node): string | undefined {
  if (functionName === "(garbage collector)") return "garbage collection";
  if (/^\((idle|root)\)$/.test(functionName)) return undefined;
  if (/^op_http/.test(functionName)) return "HTTP in Deno";
  if (url === "") {
    return functionName === "(program)" ? "V8 and the kernel" : "calls into Deno and V8";
  }
  return AREAS.find(([pattern]) => pattern.test(url))?.[1] || undefined;
}
