// What goes over HTTP, beside a handler that does nothing and a file that Nginx serves.
import { ensureTools, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { say } from "$src/cli/run.ts";
import { connect } from "$src/database.ts";
import { AppError } from "$src/errors.ts";
import { type Figure, measure, memoryFigure, type Pair, report } from "./figures.ts";
import { startBare, startFiles, VOTE } from "./limits.ts";
import { residentMegabytes } from "./memory.ts";
import { requestsPerSecond } from "./wrk.ts";

const SECONDS = 4;

export async function benchHttp(): Promise<void> {
  await ensureTools(["wrk"], say);
  await using stack = await startStack({ env: { RATE_LIMIT: "off" }, say });
  const bare = await startBare(stack);
  const files = await startFiles(stack);
  const memory = watchMemory(stack.apps[0]?.pid ?? 0);
  const figures: Figure[] = [];
  for (const pair of pairs(stack, { bare: bare.url, files })) {
    say(`measuring ${pair.name}`);
    figures.push(await measure(pair));
  }
  figures.push(memory());
  await everyVoteCounted(stack);
  await report("http", {}, figures);
}

type Limits = { bare: string; files: string };

function pairs({ url, appUrls: [app = ""] }: Stack, { bare, files }: Limits): Pair[] {
  const per = { unit: "answers/s" };
  const connections = 128;
  const load = (url: string, body?: string) => () =>
    requestsPerSecond({ url, connections, seconds: SECONDS, body });
  return [
    {
      name: "durable votes over HTTP, 128 connections",
      unit: "votes/s",
      goal: 0.5,
      ours: load(`${app}/polls/1/votes`, VOTE),
      limit: { name: "bare Hono handler, same bodies", measure: load(`${bare}/vote`, VOTE) },
    },
    {
      ...per,
      name: "cached read through the app (Redis hit)",
      goal: 0.5,
      ours: load(`${app}/entries`),
      limit: { name: "bare Hono handler, same bytes", measure: load(`${bare}/page`) },
    },
    {
      ...per,
      name: "Nginx HIT",
      goal: 0.9,
      ours: load(`${url}/entries`),
      limit: { name: "Nginx, a static file of that size", measure: load(`${files}/page`) },
    },
  ];
}

/** The most that the app has had since; looked at twice a second. */
function watchMemory(pid: number): () => Figure {
  let most = 0;
  const timer = setInterval(async () => most = Math.max(most, await residentMegabytes(pid)), 500);
  return () => {
    clearInterval(timer);
    return memoryFigure("resident memory of the app under that load", most);
  };
}

async function everyVoteCounted({ databaseUrl }: Stack): Promise<void> {
  const sql = connect(databaseUrl, { max: 1 });
  try {
    const [row] = await sql<{ cast: number; counted: number }[]>`
      select (select count(*) from events where type = 'VoteCast')::int as cast,
        (select voters from read.polls where id = 1)::int as counted`;
    if (row?.cast !== row?.counted) throw new AppError("conflict", JSON.stringify(row));
    say(`every vote of the measurement is in the log and counted: ${row?.cast}`);
  } finally {
    await sql.end({ timeout: 5 });
  }
}
