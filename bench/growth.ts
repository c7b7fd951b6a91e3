// deno task bench growth [entries]: measures whether anything gets slower as the log grows. The service runs
// on three databases, with 1000, a tenth and all of the given number of entries, users and votes, and
// each gets requests in turn. Each read follows a write, so that no cache answers it.
import { type Servers, startServers } from "$src/cli/stack/mod.ts";
import { createApp } from "$src/cli/stack/app.ts";
import { say } from "$src/cli/run.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { prepareProjections } from "$src/projector/projector.ts";
import { Appender, type StreamAppend } from "$src/store/appender.ts";
import { projections } from "$projections/mod.ts";
import { type Figure, median, memoryFigure, report } from "./figures.ts";
import { Tasks } from "./tasks.ts";

const MOST = 1_000_000;
const LEAST = 1000;
const APPEND = 500;
const ROUNDS = 100;
const GOAL = 1.2;
const meta = { actor: "system" } as const;

type Size = { entries: number; events: number; replay: number; verify: number; url: string };

export async function benchGrowth([given]: string[]): Promise<void> {
  const most = given === undefined ? MOST : Number(given);
  if (!Number.isInteger(most) || most < 20 * LEAST) {
    throw new AppError("invalid", `usage: deno task bench growth [entries]: ${given}`);
  }
  await using servers = await startServers({ say });
  const tasks = new Tasks({ DATA_DIR: `${servers.dir}/data` });
  await Deno.mkdir(`${servers.dir}/data`);
  const sizes = await grow(servers, tasks, [LEAST, most / 10, most]);
  const times = await askInTurns(servers, sizes);
  await report("growth", { entries: String(most) }, [
    ...slowdowns(sizes, times),
    ...linear(sizes),
    memoryFigure("resident memory of replay and verify", tasks.megabytes),
  ]);
}

/** Grows one database, and copies it at each size. */
async function grow(servers: Servers, tasks: Tasks, entries: number[]): Promise<Size[]> {
  const sizes: Size[] = [];
  tasks.env.DATABASE_URL = servers.databaseUrl;
  tasks.env.OWNER_DATABASE_URL = servers.ownerDatabaseUrl;
  await tasks.run("migrate");
  const service = connect(servers.databaseUrl, { max: 1, patient: true });
  await prepareProjections(service, projections);
  await service.end();
  for (const count of entries) {
    const sql = connect(servers.databaseUrl, { max: 4, patient: true });
    await fill(sql, sizes.at(-1)?.entries ?? 0, count);
    const [row] = await sql<{ position: number }[]>`select position from counter`;
    await sql.end({ timeout: 5 });
    const events = row?.position ?? 0;
    const replay = await secondsOf(() => tasks.run("replay"));
    const verify = await secondsOf(() => tasks.run("verify"));
    say(`${events.toLocaleString("en")} events: replayed in ${replay}, verified in ${verify} s`);
    sizes.push({ entries: count, events, replay, verify, url: await copyOf(servers, count) });
  }
  return sizes;
}

async function fill(sql: Sql, from: number, to: number): Promise<void> {
  const appender = new Appender(sql);
  if (from === 0) await appender.append({ streams: [poll()], meta });
  for (let n = from + 1; n <= to; n += APPEND) {
    const numbers = Array.from({ length: Math.min(APPEND, to + 1 - n) }, (_, i) => n + i);
    await appender.append({ streams: numbers.flatMap(thirds), meta });
    if (n % 100_000 < APPEND) say(`filling: ${n.toLocaleString("en")} of each`);
  }
  await sql`
    select setval('entry_ids', ${to}), setval('user_ids', ${to}), setval('poll_ids', 1)`;
}

function poll(): StreamAppend {
  const options = [{ id: "option_a", text: "A" }, { id: "option_b", text: "B" }];
  const facts = { question: "?", options, choice: "single" as const, results: "always" as const };
  const data = { id: 1, ...facts, closes_at: null };
  return { stream: "poll-1", expected: "none", events: [{ type: "PollOpened", data }] };
}

/** An entry, a user and a vote. */
function thirds(id: number): StreamAppend[] {
  const entry = { id, name: "Ada", message: `entry ${id}`, author: null, held: false };
  const user = { id, name: "Ada", email: `ada${id}@example.com`, claim: `email-${id}` };
  const vote = { poll: 1, voter: `voter-${id}`, options: ["option_a"] };
  const none = { expected: "none" as const };
  return [
    { ...none, stream: `entry-${id}`, events: [{ type: "EntrySigned", data: entry }] },
    { ...none, stream: `user-${id}`, events: [{ type: "UserRegistered", data: user }] },
    { ...none, stream: `ballot-1-voter-${id}`, events: [{ type: "VoteCast", data: vote }] },
  ];
}

async function copyOf(servers: Servers, count: number): Promise<string> {
  const url = new URL(servers.ownerDatabaseUrl);
  const name = url.pathname.slice(1);
  url.pathname = "/postgres";
  const sql = connect(url.href, { max: 1, patient: true });
  await sql.unsafe(`create database grown_${count} template ${name}`);
  await sql.end();
  const copy = new URL(servers.databaseUrl);
  copy.pathname = `/grown_${count}`;
  return copy.href;
}

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return Math.round(performance.now() - started) / 1000;
}

type Times = Record<string, number[]>;

async function askInTurns(servers: Servers, sizes: Size[]): Promise<Times[]> {
  const apps: { url: string; times: Times }[] = [];
  for (const [i, { url }] of sizes.entries()) apps.push(await startOn(servers, i, url));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { url, times } of apps) await askOnce(url, times);
  }
  return apps.map(({ times }) => times);
}

async function startOn(servers: Servers, index: number, databaseUrl: string) {
  const app = createApp(servers.keeper, index + 1, {
    root: Deno.cwd(),
    script: "src/main.ts",
    env: {
      DATABASE_URL: databaseUrl,
      OWNER_DATABASE_URL: "",
      REDIS_URL: `${servers.redisUrl}/${index + 1}`,
      NGINX_URL: "",
      RATE_LIMIT: "off",
      SIGNING_KEY: btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)))),
      ADMIN_TOKEN: crypto.randomUUID(),
    },
    changed: () => {},
  });
  await app.start();
  return { url: `http://127.0.0.1:${app.port}`, times: {} as Times };
}

const HTML = "text/html";
const JSON_TYPE = "application/json";

async function askOnce(url: string, times: Times): Promise<void> {
  const timed = async (name: string, path: string, init: RequestInit) => {
    const started = performance.now();
    const answer = await fetch(`${url}${path}`, init);
    await answer.arrayBuffer();
    if (!answer.ok) throw new AppError("unavailable", `${path}: ${answer.status}`);
    (times[name] ??= []).push(performance.now() - started);
  };
  const get = (name: string, path: string, accept: string) =>
    timed(name, path, { headers: { accept } });
  const send = (name: string, path: string, body: unknown, method = "POST") =>
    timed(name, path, {
      method,
      headers: { accept: JSON_TYPE, "content-type": JSON_TYPE },
      body: JSON.stringify(body),
    });
  await send("an entry signed", "/sign", { name: "Ada", message: "one more" });
  await get("the page", "/", HTML);
  await get("a list of entries", "/entries", JSON_TYPE);
  await get("an old page of entries", "/entries?before=500&limit=50", JSON_TYPE);
  await send("a vote", "/polls/1/votes", { option: "option_a" });
  await get("results", "/polls/1/results", JSON_TYPE);
  await send("a user changed", "/users/7", { name: crypto.randomUUID() }, "PUT");
  await get("a list of users", "/users", JSON_TYPE);
}

function slowdowns(sizes: Size[], times: Times[]): Figure[] {
  const [least, most] = [sizes[0], sizes.at(-1)];
  const [small, large] = [times[0] ?? {}, times.at(-1) ?? {}];
  return Object.keys(small).map((name) => {
    const [ours, value] = [median(large[name] ?? []), median(small[name] ?? [])];
    return {
      name: `${name}, at ${most?.entries.toLocaleString("en")} of each`,
      unit: "ms",
      ours,
      limit: { name: `at ${least?.entries.toLocaleString("en")}`, value },
      ratio: ours / value,
      most: GOAL,
    };
  });
}

/** Ten times the events should take ten times as long. */
function linear(sizes: Size[]): Figure[] {
  const [some, all] = sizes.slice(-2);
  if (!some || !all) return [];
  return (["replay", "verify"] as const).map((name) => {
    const [ours, value] = [all.events / all[name], some.events / some[name]];
    return {
      name: `${name} of ${all.events.toLocaleString("en")} events`,
      unit: "events/s",
      ours,
      limit: { name: `of ${some.events.toLocaleString("en")}`, value },
      ratio: ours / value,
      goal: 0.8,
    };
  });
}
