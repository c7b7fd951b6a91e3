// Eight writers in four processes, one of them killed; three subscribers, one of them killed and resumed;
// a foreign transaction held open meanwhile. Acknowledged appends are recorded in this process.
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { grantService } from "$src/store/role_grants.ts";
import { migrate } from "$src/store/migrate.ts";
import { readHead, readStored, type StoredEvent } from "$src/store/read.ts";
import { verifyLog } from "$src/store/verify.ts";
import { freshDatabase } from "../support/database.ts";
import { waitFor } from "../support/until.ts";
import { talk, type Talker } from "./lines.ts";
import { random } from "./random.ts";

const FOREIGN_MS = 10_000;
// A subscriber polls each second; one that waited for the foreign transaction would stand still for ten.
const STOOD_STILL_MS = 3000;

const seed = Number(Deno.env.get("TORTURE_SEED") ?? Date.now() % 1_000_000);

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** An open transaction that has written: its id is older than every later append's. */
function holdForeign(sql: Sql): Promise<unknown> {
  return sql.begin(async (tx) => {
    await tx`create table foreign_work (n int)`;
    await tx`select pg_sleep(${FOREIGN_MS / 1000})`;
  });
}

type Tagged = { writer: string; tag: string; positions: number[] };

function acknowledged(writers: Talker[]): Tagged[] {
  const lines = writers.flatMap((each) => each.lines).filter((line) => line.startsWith("ack "));
  return lines.map((line) => {
    const [, writer = "", tag = "", positions = ""] = line.split(" ");
    return { writer, tag, positions: positions.split(",").map(Number) };
  });
}

function idOf(event: StoredEvent): string {
  const { page, count } = event.data as { page: string; count: number };
  return `${page} ${count}`;
}

function checkLog(log: StoredEvent[], acks: Tagged[]): void {
  assertEquals(log.map(({ position }) => position), log.map((_, i) => i + 1), "dense positions");
  const versions = new Map<string, number>();
  for (const { stream, version } of log) {
    assertEquals(version, (versions.get(stream) ?? 0) + 1, `versions of ${stream}`);
    versions.set(stream, version);
  }
  const found = Map.groupBy(log, idOf);
  for (const { writer, tag, positions } of acks) {
    const stored = found.get(`${writer} ${tag}`)?.map(({ position }) => position);
    assertEquals(stored, positions, `acknowledged once and stored once: ${writer} ${tag}`);
  }
  for (const [id, events] of found) {
    const inARow = events.every(({ position }, i) => position === (events[0]?.position ?? 0) + i);
    assert(inARow && events.length <= 3, `stored twice: ${id}`);
  }
}

function checkSeen(name: string, seen: string[], log: StoredEvent[]): void {
  const wanted = log.map((event) =>
    `${event.position} ${event.stream} ${event.version} ${idOf(event)}`
  );
  const first = wanted.findIndex((line, i) => line !== seen[i]);
  assertEquals(seen[first], wanted[first], `${name} parts from the log at line ${first + 1}`);
  assertEquals(seen.length, wanted.length, `${name} saw each event once`);
}

/** The longest time without an event while writers wrote. */
function longestWait({ times }: Talker, from: number, to: number): number {
  const during = [from, ...times.filter((time) => time > from && time < to), to];
  return Math.max(...during.slice(1).map((time, i) => time - (during[i] ?? 0)));
}

type Run = {
  writers: Talker[];
  victim: Talker;
  early: Talker;
  middle: Talker;
  killed: Talker;
  resumed: Talker;
  late: Talker;
  /** While the foreign transaction was open. */
  from: number;
  to: number;
};

async function torture(url: string, foreign: Sql, own: AsyncDisposableStack): Promise<Run> {
  const next = random(seed);
  const start = (file: string, ...args: string[]) => own.use(talk(file, [url, ...args]));
  const writer = (name: string) => start("writer.ts", name, "2", String(Math.floor(next() * 1e6)));

  const early = start("subscriber.ts");
  const victim = writer("a");
  const others = [writer("b"), writer("c"), writer("d")];
  const writers = [victim, ...others];
  await waitFor(() => writers.every(({ lines }) => lines.length > 50), 30_000, "the writers");

  const from = performance.now();
  const held = holdForeign(foreign);
  const middle = start("subscriber.ts");
  const killed = start("subscriber.ts");
  await waitFor(() => killed.lines.length > 500 + next() * 500, 30_000, "a subscriber");
  killed.kill("SIGKILL");
  await killed.ended;
  const resumed = start("subscriber.ts", killed.lines.at(-1)?.split(" ")[0] ?? "0");

  const enough = victim.lines.length + next() * 200;
  await waitFor(() => victim.lines.length > enough, 30_000, "the writer to be killed");
  victim.kill("SIGKILL");
  const late = start("subscriber.ts");
  await held;
  const to = performance.now();
  others.forEach((each) => each.kill("SIGTERM"));
  await Promise.all(writers.map((each) => each.ended));
  return { writers, victim, early, middle, killed, resumed, late, from, to };
}

async function caughtUp(subscribers: Talker[], position: number): Promise<void> {
  const last = `${position} `;
  await waitFor(
    () => subscribers.every(({ lines }) => lines.at(-1)?.startsWith(last)),
    10_000,
    "the subscribers",
  ).catch(() => undefined); // The comparison with the log reports a missing event better.
  for (const each of subscribers) each.kill("SIGTERM");
  await Promise.all(subscribers.map((each) => each.ended));
}

describe("the log under torture", () => {
  it(`keeps every acknowledged append (TORTURE_SEED=${seed})`, async () => {
    await using own = new AsyncDisposableStack();
    const database = own.use(await freshDatabase());
    const elsewhere = own.use(await freshDatabase());
    const connected = (url: string) =>
      own.adopt(connect(url, { max: 2, patient: true }), (sql) => sql.end({ timeout: 5 }));
    const owner = connected(database.ownerUrl);
    await migrate(owner);
    const { username, password } = new URL(database.serviceUrl);
    await grantService(owner, { role: username, password });

    const run = await torture(database.serviceUrl, connected(elsewhere.ownerUrl), own);
    const { position } = await readHead(owner);
    await caughtUp([run.early, run.middle, run.resumed, run.late], position);

    const log = [...await readStored(owner, { limit: position + 1000 })];
    const acks = acknowledged(run.writers);
    const said = run.writers.flatMap(({ lines }) => lines);
    const rolledBack = said.filter((line) => line.startsWith("rolled back")).length;
    const refused = said.filter((line) => line.startsWith("refused"));
    say(
      `torture: seed ${seed}, ${log.length} events, ${acks.length} acknowledged appends, ` +
        `${rolledBack} transactions rolled back; killed: a writer after ` +
        `${run.victim.lines.length} lines, a subscriber after ${run.killed.lines.length} events`,
    );
    assertEquals(refused[0], undefined, `${refused.length} appends were refused by the database`);
    checkLog(log, acks);
    assert(acks.length > 500 && rolledBack > 20, "too little happened");
    checkSeen("early", run.early.lines, log);
    checkSeen("middle", run.middle.lines, log);
    checkSeen("killed and resumed", [...run.killed.lines, ...run.resumed.lines], log);
    checkSeen("late", run.late.lines, log);
    for (const name of ["early", "middle"] as const) {
      const wait = longestWait(run[name], run[name].times[0] ?? run.from, run.to);
      say(`torture: ${name} stood still for ${Math.round(wait)} ms at most`);
      assert(wait < STOOD_STILL_MS, `${name} stood still for ${Math.round(wait)} ms`);
    }
    assertEquals((await verifyLog(owner)).ok, true);
  });
});
