// Requests over HTTP, compared with a minimal handler, a static file from Nginx, and Nginx's plain cache.
import { ensureTools, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { say } from "$src/cli/run.ts";
import { connect } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { type Figure, measure, memoryFigure, type Pair, report } from "./figures.ts";
import { startBare, startFiles, VOTE } from "./limits.ts";
import { residentMegabytes } from "./memory.ts";
import { startPlainNginx } from "./plain_nginx.ts";
import { requestsPerSecond } from "./wrk.ts";

const SECONDS = 4;
// Short turns of a second, because the two that are compared differ by only a few microseconds.
const HITS = { rounds: 5, turns: 4 };
const HIT_SECONDS = 1;
// 1000 reads per second of the page that each batch of votes changes.
const READERS = 100;
const READER_PAUSE_MS = 100;

export async function benchHttp(): Promise<void> {
  await ensureTools(["wrk"], say);
  await using stack = await startStack({ env: { RATE_LIMIT: "off" }, say });
  const bare = await startBare(stack);
  const limits = {
    bare: bare.url,
    files: await startFiles(stack),
    plain: await startPlainNginx(stack),
  };
  const memory = watchMemory(stack.apps[0]?.pid ?? 0);
  const figures: Figure[] = [];
  for (const pair of pairs(stack, limits)) {
    say(`measuring ${pair.name}`);
    figures.push(await measure(pair));
  }
  figures.push(memory());
  await everyVoteCounted(stack);
  await report("http", {}, figures);
}

type Limits = { bare: string; files: string; plain: string };

function pairs({ url, appUrls: [app = ""] }: Stack, { bare, files, plain }: Limits): Pair[] {
  const per = { unit: "answers/s" };
  const connections = 128;
  const load = (url: string, body?: string) => () =>
    requestsPerSecond({ url, connections, seconds: SECONDS, body });
  const hits = (url: string) => () => requestsPerSecond({ url, connections, seconds: HIT_SECONDS });
  const votes = load(`${app}/polls/1/votes`, VOTE);
  return [
    {
      name: "durable votes over HTTP, 128 connections",
      unit: "votes/s",
      goal: 0.4,
      ours: votes,
      limit: { name: "bare Hono, insert in group commit", measure: load(`${bare}/vote`, VOTE) },
    },
    {
      name: `the same with ${READERS} readers of the poll's page through Nginx`,
      unit: "votes/s",
      goal: 0.7,
      ours: () => withReaders(`${url}/polls/1`, votes),
      limit: { name: "without readers", measure: votes },
    },
    {
      ...per,
      name: "cached read through the app (Redis hit)",
      goal: 0.6,
      ours: load(`${app}/entries`),
      limit: { name: "bare Hono handler, same bytes", measure: load(`${bare}/page`) },
    },
    {
      ...per,
      name: "Nginx HIT",
      goal: 0.8,
      ...HITS,
      ours: hits(`${url}/entries`),
      limit: { name: "Nginx, a static file of that size", measure: hits(`${files}/page`) },
    },
    {
      ...per,
      name: "Nginx HIT, versions in the key",
      goal: 0.9,
      ...HITS,
      ours: hits(`${url}/entries`),
      limit: { name: "plain proxy_cache HIT, no Lua", measure: hits(`${plain}/entries`) },
    },
  ];
}

async function withReaders(url: string, votes: () => Promise<number>): Promise<number> {
  const [rate] = await Promise.all([
    votes(),
    requestsPerSecond({ url, connections: READERS, seconds: SECONDS, pauseMs: READER_PAUSE_MS }),
  ]);
  return rate;
}

/** The app's highest resident memory from now on, sampled twice a second. */
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
