// What goes over HTTP, beside a handler that does nothing and a file that Nginx serves.
import { ensureTools, freePort, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { Part } from "$src/cli/stack/part.ts";
import { serverUser } from "$src/cli/stack/user.ts";
import { say } from "$src/cli/run.ts";
import { connect } from "$src/database.ts";
import { AppError } from "$src/errors.ts";
import { type Figure, measure, memoryFigure, type Pair, report } from "./figures.ts";
import { residentMegabytes } from "./memory.ts";
import { requestsPerSecond } from "./wrk.ts";

const SECONDS = 4;
const ENTRIES = 50;
const VOTE = '{"option":"option_a"}';

export async function benchHttp(): Promise<void> {
  await ensureTools(["wrk"], say);
  await using stack = await startStack({ env: { RATE_LIMIT: "off" }, say });
  const bare = await startBare(stack);
  const files = await startFiles(stack);
  const memory = watchMemory(stack.apps[0]?.pid ?? 0);
  const figures: Figure[] = [];
  for (const pair of pairs(stack, { bare, files })) {
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

const JSON_TYPE = { "content-type": "application/json", accept: "application/json" };

async function post(url: string, body: string): Promise<string> {
  const answer = await fetch(url, { method: "POST", headers: JSON_TYPE, body });
  if (!answer.ok) throw new AppError("unavailable", `${url}: ${answer.status}`);
  return await answer.text();
}

/** Its two answers are those that the service gives. */
async function startBare(stack: Stack): Promise<string> {
  const [app = ""] = stack.appUrls;
  for (let n = 0; n < ENTRIES; n++) {
    await post(`${app}/sign`, JSON.stringify({ name: "Ada", message: `Entry ${n}` }));
  }
  const [vote, page] = [`${stack.dir}/vote.json`, `${stack.dir}/page`];
  await Deno.writeTextFile(vote, await post(`${app}/polls/1/votes`, VOTE));
  const entries = await fetch(`${app}/entries`, { headers: JSON_TYPE });
  await Deno.writeTextFile(page, await entries.text(), { mode: 0o644 });
  const port = freePort();
  const script = new URL("bare.ts", import.meta.url).pathname;
  const rights = ["--allow-net", `--allow-read=${stack.dir}`];
  await startPart(stack, {
    name: "bare",
    port,
    argv: [Deno.execPath(), "run", "--quiet", ...rights, script, String(port), vote, page],
    path: "/live",
  });
  return `http://127.0.0.1:${port}`;
}

/** Nginx with nothing but its defaults, as many workers, and a log. */
async function startFiles(stack: Stack): Promise<string> {
  const port = freePort();
  const user = await serverUser();
  const dir = `${stack.dir}/files`;
  for (const path of ["", "/logs", "/root", "/temp"]) await user.mkdir(dir + path);
  await user.write(`${dir}/root/page`, await Deno.readTextFile(`${stack.dir}/page`));
  const temps = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path temp/${name};`).join(" ");
  await user.write(
    `${dir}/nginx.conf`,
    `worker_processes auto; pid nginx.pid; error_log logs/error.log;
events { worker_connections 4096; multi_accept on; }
http { ${temps} sendfile on; tcp_nopush on; keepalive_requests 10000; default_type application/json;
  access_log logs/access.log;
  server { listen 127.0.0.1:${port} backlog=4096; root root; } }
`,
  );
  const flags = ["-p", `${dir}/`, "-c", `${dir}/nginx.conf`, "-e", "stderr", "-g", "daemon off;"];
  const argv = [...user.prefix, "nginx", ...flags];
  await startPart(stack, { name: "files", port, argv, path: "/page" });
  return `http://127.0.0.1:${port}`;
}

type Plain = { name: string; port: number; argv: string[]; path: string };

async function startPart(stack: Stack, { name, port, argv, path }: Plain): Promise<Part> {
  const part = new Part(stack.keeper, {
    name,
    port,
    argv,
    phase: "command",
    env: { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin` },
    async ready() {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      await answer.body?.cancel();
      return answer.ok;
    },
  }, () => {});
  await part.start();
  return part;
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
