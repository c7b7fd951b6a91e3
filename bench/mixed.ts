// Sixteen clients read and write twenty pages through Nginx, 95 to 5. Measures the hit rate from its access
// log, and the time of writes.
import { shell } from "$src/cli/stack/shell.ts";
import type { Stack } from "$src/cli/stack/mod.ts";
import { AppError } from "$src/errors.ts";
import { type Line, readLog } from "../tests/support/access_log.ts";
import { type Figure, median } from "./figures.ts";

const CLIENTS = 16;
const SECONDS = 15;
const WARM_SECONDS = 5;
const PAUSE_MS = 20;
const GOAL_MS = 10;
const GOAL_HITS = 0.94;

const USERS = 7;
const ITEMS = 7;
const POLLS = 6;

/** "one": half of the pages are read as HTML, half as JSON; "both": each page is read as both. */
type Forms = "one" | "both";

type Kept = Line & { seconds: number };

export async function mixedClients(stack: Stack): Promise<Figure[]> {
  const polls = await makePages(stack);
  const during = (forms: Forms, seconds: number, pauseMs = 0) =>
    mixed(stack, { polls, forms, seconds, pauseMs });
  await during("one", WARM_SECONDS);
  const paced = await during("one", SECONDS, PAUSE_MS);
  const both = await during("both", SECONDS, PAUSE_MS);
  const pressed = await during("one", SECONDS);
  return [
    // A write invalidates one stored answer, whose next read is a miss: 19 of 20 reads can be hits.
    { ...hitRate("each page in one form", paced), goal: GOAL_HITS },
    // Here a write invalidates two stored answers: 19 of 21 reads can be hits.
    hitRate("each page in both forms", both),
    { ...writeTime("with pauses", paced), most: 1 },
    { ...writeTime("without a pause", pressed), most: 1 },
  ];
}

function hitRate(what: string, lines: Kept[]): Figure {
  const reads = lines.filter(({ method }) => method === "GET");
  const hits = reads.filter(({ cache }) => cache === "HIT").length / reads.length;
  const share = 100 * reads.length / lines.length;
  return {
    name: `Nginx hit rate, ${share.toFixed(1)}% reads, 20 pages, ${what}`,
    unit: "of reads",
    ours: hits,
    limit: { name: "all", value: 1 },
    ratio: hits,
  };
}

function writeTime(what: string, lines: Kept[]): Figure {
  const writes = lines.filter(({ method }) => method !== "GET");
  const ours = median(writes.map(({ seconds }) => seconds * 1000));
  return {
    name: `a write, median, ${CLIENTS} mixed clients ${what}`,
    unit: "ms",
    ours,
    limit: { name: "allowed", value: GOAL_MS },
    ratio: ours / GOAL_MS,
  };
}

/** Returns the ids of the polls; users and items have the first ids. */
async function makePages({ url, secrets }: Stack): Promise<number[]> {
  const send = async (path: string, body: unknown): Promise<number> => {
    const headers = {
      "content-type": "application/json",
      accept: "application/json",
      authorization: `Bearer ${secrets.ADMIN_TOKEN}`,
    };
    const init = { method: "POST", headers, body: JSON.stringify(body) };
    const answer = await fetch(`${url}${path}`, init);
    if (!answer.ok) throw new AppError("unavailable", `${path}: ${answer.status}`);
    return Number((await answer.json()).id);
  };
  const some = (count: number) => Array.from({ length: count }, (_, n) => n + 1);
  for (const n of some(USERS)) {
    await send("/users", { name: "Ada", email: `mixed${n}@example.com` });
  }
  for (const n of some(ITEMS)) await send("/items", { name: `Item ${n}`, description: "one" });
  const polls: number[] = [];
  for (const _ of some(POLLS)) {
    polls.push(await send("/polls", { question: "Which?", options: ["This", "That"] }));
  }
  return polls;
}

type Mix = { polls: number[]; forms: Forms; seconds: number; pauseMs: number };

/** The lines of Nginx's access log for this load. */
async function mixed({ url, accessLog }: Stack, mix: Mix): Promise<Kept[]> {
  const before = (await readLog(accessLog)).length;
  const path = await Deno.makeTempFile({ prefix: "tallybook-", suffix: ".lua" });
  try {
    await Deno.writeTextFile(path, scriptOf(mix));
    await shell(
      'wrk -t 2 -c "$1" -d "$2s" --timeout 10s -s "$3" "$4"',
      ...[String(CLIENTS), String(mix.seconds), path, url],
    );
  } finally {
    await Deno.remove(path);
  }
  const lines = (await readLog(accessLog)).slice(before) as Kept[];
  // 499: wrk closes its connections at the end without waiting for answers.
  const ended = lines.filter(({ status }) => status !== 499);
  const failed = ended.find(({ status }) => status >= 400);
  if (failed) throw new AppError("unavailable", `${failed.uri}: ${failed.status}`);
  return ended;
}

function scriptOf({ polls, forms, pauseMs }: Mix): string {
  return `local pages = {}
for id = 1, ${USERS} do pages[#pages + 1] = "/users/" .. id end
for id = 1, ${ITEMS} do pages[#pages + 1] = "/items/" .. id end
for _, id in ipairs({${polls.join(", ")}}) do pages[#pages + 1] = "/polls/" .. id end
local threads, changes = 0, 0
function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end
function init()
  math.randomseed(number * 7919 + os.time())
end
local function send(method, path, body)
  local headers = { ["Content-Type"] = "application/json", ["Accept"] = "application/json" }
  return wrk.format(method, path, headers, body)
end
function request()
  local n = math.random(#pages)
  if math.random() < 0.05 then
    if pages[n]:find("polls") then return send("POST", pages[n] .. "/votes", '{"option":"1"}') end
    changes = changes + 1
    return send("PUT", pages[n], '{"name":"Name ' .. number .. "-" .. changes .. '"}')
  end
  local html = ${forms === "both" ? "math.random() < 0.5" : "n % 2 == 0"}
  return wrk.format("GET", pages[n], { ["Accept"] = html and "text/html" or "application/json" })
end
function delay()
  return math.random(0, ${2 * pauseMs})
end
`;
}
