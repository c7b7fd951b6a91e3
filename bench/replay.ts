// deno task bench replay [events]: replays a million mixed events while votes arrive, compared with a cursor
// over the same rows; then checks that no vote was missed and that the tables are equal.
import { startServers } from "$src/cli/stack/mod.ts";
import { say } from "$src/cli/run.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { liveHook, prepareProjections } from "$src/projector/projector.ts";
import { replay } from "$src/projector/replay.ts";
import { Appender, type StreamAppend } from "$src/store/appender.ts";
import { migrate } from "$src/store/migrate.ts";
import type { NewEvent } from "$events/mod.ts";
import { projections } from "$projections/mod.ts";
import { measure, memoryFigure, rateOf, report } from "./figures.ts";
import { Tasks } from "./tasks.ts";

const EVENTS = 1_000_000;
const APPEND = 500;
const POLLS = 10;
const VOTES_PER_SECOND = 50;
const meta = { actor: "system" } as const;

type Place = { sql: Sql; events: number; tasks: Tasks };

export async function benchReplay([given]: string[]): Promise<void> {
  const events = given === undefined ? EVENTS : Number(given);
  if (!Number.isInteger(events) || events < 1000) {
    throw new AppError("invalid", `usage: deno task bench replay [events]: ${given}`);
  }
  await using servers = await startServers();
  const sql = connect(servers.ownerDatabaseUrl, { max: 4, patient: true });
  try {
    await migrate(sql);
    await fill(sql, events);
    await prepareProjections(sql, projections);
    for (const projection of projections) await replay(sql, projection);
    const env = { DATABASE_URL: servers.ownerDatabaseUrl, DATA_DIR: `${servers.dir}/data` };
    const place = { sql, events, tasks: new Tasks(env) };
    const rate = await measure({
      name: `replay of ${events.toLocaleString("en")} events, ${VOTES_PER_SECOND} votes/s arriving`,
      unit: "events/s",
      goal: 0.3,
      ours: () => replayAll(place),
      limit: { name: "cursor over the same rows", measure: () => readRows(place) },
    });
    await checkEqual(place);
    const memory = memoryFigure("resident memory of the replay", place.tasks.megabytes);
    await report("replay", { events: String(events) }, [rate, memory]);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** Of ten events, six are votes, two are items, one is an entry, and one is a user or views. */
function mixed(n: number): StreamAppend {
  const event = eventOf(n);
  return { stream: streamOf(n), expected: "none", events: [event] };
}

function eventOf(n: number): NewEvent {
  if (n % 10 < 6) {
    const data = { poll: n % POLLS + 1, voter: `voter-${n}`, options: [n % 3 ? "a" : "b"] };
    return { type: "VoteCast", data };
  }
  if (n % 10 < 8) {
    return { type: "ItemCreated", data: { id: n, name: `item ${n}`, description: "of brass" } };
  }
  if (n % 10 === 8) {
    const data = { id: n, name: "Ada", message: `entry ${n}`, author: null, held: false };
    return { type: "EntrySigned", data };
  }
  if (n % 20 === 9) return { type: "VisitsCounted", data: { page: `/${n}`, count: 3 } };
  const data = { id: n, name: "Ada", email: `ada${n}@example.com`, claim: `email-${n}` };
  return { type: "UserRegistered", data };
}

function streamOf(n: number): string {
  if (n % 10 < 6) return `ballot-${n % POLLS + 1}-voter-${n}`;
  if (n % 10 < 8) return `item-${n}`;
  if (n % 10 === 8) return `entry-${n}`;
  return n % 20 === 9 ? `visits-/${n}` : `user-${n}`;
}

async function fill(sql: Sql, events: number): Promise<void> {
  const appender = new Appender(sql);
  const options = [{ id: "a", text: "A" }, { id: "b", text: "B" }];
  const facts = { question: "?", options, choice: "single" as const, results: "always" as const };
  for (let id = 1; id <= POLLS; id++) {
    const opened: NewEvent = { type: "PollOpened", data: { id, ...facts, closes_at: null } };
    await appender.append({
      streams: [{ stream: `poll-${id}`, expected: "none", events: [opened] }],
      meta,
    });
  }
  for (let n = POLLS; n < events; n += APPEND) {
    const size = Math.min(APPEND, events - n);
    await appender.append({ streams: Array.from({ length: size }, (_, i) => mixed(n + i)), meta });
    if (n % 100_000 < APPEND) say(`filling the log: ${n.toLocaleString("en")}`);
  }
  await sql`analyze`;
}

let voter = 0;

/** Sends votes at an even pace; each must be accepted and counted. */
function votesArrive({ sql }: Place): { stop: () => Promise<void> } {
  const appender = new Appender(sql, { hook: liveHook(projections) });
  const work: Promise<unknown>[] = [];
  const timer = setInterval(() => {
    const data = { poll: 1, voter: `live-${voter++}`, options: ["a"] };
    const stream = `ballot-1-${data.voter}`;
    const events: NewEvent[] = [{ type: "VoteCast", data }];
    const vote = appender.append({ streams: [{ stream, expected: "none", events }], meta });
    vote.catch(() => {});
    work.push(vote);
  }, 1000 / VOTES_PER_SECOND);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(work);
      await appender.close();
    },
  };
}

async function votersOf({ sql }: Place): Promise<number> {
  const [row] = await sql<{ voters: number }[]>`select voters from read.polls where id = 1`;
  return row?.voters ?? 0;
}

async function replayAll(place: Place): Promise<number> {
  const before = await votersOf(place) - voter;
  const arriving = votesArrive(place);
  const rate = await rateOf(async () => {
    await place.tasks.run("replay");
    return place.events;
  });
  await arriving.stop();
  const missed = before + voter - await votersOf(place);
  if (missed !== 0) throw new AppError("conflict", `votes missed: ${missed}`);
  return rate;
}

async function checkEqual({ tasks }: Place): Promise<void> {
  say((await tasks.run("replay", "--check")).trim());
}

async function readRows({ sql, events }: Place): Promise<number> {
  return await rateOf(async () => {
    const rows = sql`
      select position, stream, version, type, data, meta, at, seal from events order by position`;
    for await (const _ of rows.cursor(2000));
    return events;
  });
}
