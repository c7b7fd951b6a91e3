// A task that loses its connection while it works reports it in one line, exits with 1, and leaves nothing
// half done: no stack trace, and no endless wait.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { projections } from "$projections/mod.ts";
import { backup } from "$src/store/backup.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { prepareProjections } from "$src/projector/projector.ts";
import { newSigningKey, parseSigningKey } from "$src/store/signed_head.ts";
import { migrate } from "$src/store/migrate.ts";
import { readHead } from "$src/store/read.ts";
import { importEvents } from "$src/store/export_import.ts";
import { chain, linesOf, textOf, writeChain } from "../store/chain.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { waitFor } from "../support/until.ts";
import { spawnTask } from "./task.ts";

const WITHIN_MS = 15_000;
const AWAY = /^error: the database is away: [^\n]+\n$/;

let dir: string;
let database: FreshDatabase;
let observer: Sql;
let env: Record<string, string>;

type Sign = "waits" | "copies";

/** Ends the task's connections if one of them runs a matching query. */
async function endIf(sign: Sign): Promise<boolean> {
  const ended = await observer`
    with tasks as (
      select pid, wait_event_type = 'Lock' as waits, query like '%copy events%' as copies
      from pg_stat_activity
      where datname = current_database() and application_name <> 'observer'
        and backend_type = 'client backend'
    )
    select pg_terminate_backend(pid) from tasks
    where (select bool_or(${sign === "waits" ? observer`waits` : observer`copies`}) from tasks)`;
  return ended.length > 0;
}

async function cut(sign: Sign): Promise<void> {
  await waitFor(() => endIf(sign), WITHIN_MS, `a task that ${sign}`);
}

type Ended = { code: number; stdout: string; stderr: string };

async function end(child: Deno.ChildProcess): Promise<Ended> {
  const late = setTimeout(() => child.kill("SIGKILL"), WITHIN_MS);
  const { code, stdout, stderr } = await child.output();
  clearTimeout(late);
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

/**
 * Ends the task's connections once it waits for a lock that another session holds: also those
 * that it was about to open, which would otherwise wait for the lock in their place.
 */
async function cutWhileHeld(hold: string, words: string[]): Promise<Ended> {
  let ended: Promise<Ended> | undefined;
  await observer.begin(async (tx) => {
    await tx.unsafe(hold);
    ended = end(spawnTask(words, env));
    let over = false;
    ended.finally(() => over = true);
    await cut("waits");
    await waitFor(async () => (await endIf("waits"), over), WITHIN_MS, "the task to end");
  });
  return await (ended ?? Promise.reject(new Error("not started")));
}

function isOneLine({ code, stdout, stderr }: Ended): void {
  assertMatch(stderr, AWAY);
  assertEquals([code, stdout], [1, ""]);
}

async function isEmpty(): Promise<void> {
  assertEquals((await readHead(observer)).position, 0);
  assertEquals((await observer`select from events limit 1`).length, 0);
  assertEquals((await observer`select from keys limit 1`).length, 0);
}

describe("a task that loses its connection", () => {
  before(async () => {
    dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    database = await freshDatabase();
    observer = connect(database.ownerUrl, { max: 3, patient: true, name: "observer" });
    await migrate(observer);
    env = { DATABASE_URL: database.ownerUrl, DATA_DIR: `${dir}/data` };
    await writeChain(`${dir}/log`, 5000);
    await Deno.writeTextFile(`${dir}/keys`, '{"subject":"entry-1","key":"AAAA"}\n');
  });
  after(async () => {
    await observer.end({ timeout: 5 });
    await database[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  });

  it("exits in migrate, at its first query", async () => {
    isOneLine(await cutWhileHeld("lock table migrations in access exclusive mode", ["migrate"]));
  });

  it("exits in migrate, while it grants the service's role its rights", async () => {
    const { username } = new URL(database.serviceUrl);
    const hold = `select pg_advisory_xact_lock(hashtext('${username}'))`;
    const owned = { OWNER_DATABASE_URL: database.ownerUrl, DATABASE_URL: database.serviceUrl };
    const before = env;
    env = { ...env, ...owned };
    try {
      const { code, stderr } = await cutWhileHeld(hold, ["migrate"]);
      const [done, error, ...rest] = stderr.split("\n");
      assertEquals([code, done, rest], [1, "the database is up to date", [""]]);
      assertMatch(`${error}\n`, AWAY);
    } finally {
      env = before;
    }
    assertEquals((await observer`select from pg_roles where rolname = ${username}`).length, 0);
  });

  const stages: Record<string, string> = {
    "before its first line": "select from counter for update",
    "as it begins to copy": "lock table events in access exclusive mode",
    "with every line taken, at its keys": "lock table keys in access exclusive mode",
  };
  for (const [stage, hold] of Object.entries(stages)) {
    it(`exits in import, ${stage}`, async () => {
      const words = ["events", "import", `${dir}/log`, "--keys", `${dir}/keys`];
      isOneLine(await cutWhileHeld(hold, words));
      await isEmpty();
    });
  }

  it("exits in import, in the middle of a pipe that stays open", async () => {
    const child = spawnTask(["events", "import"], env, "piped");
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(textOf(chain(3000))));
    await cut("copies");
    isOneLine(await end(child));
    await writer.close().catch(() => undefined);
    await isEmpty();
  });

  it("exits in import, in the middle of a pipe that goes on", async () => {
    const child = spawnTask(["events", "import"], env, "piped");
    const ended = end(child);
    const writer = child.stdin.getWriter();
    const lines = [...chain(60_000)];
    await writer.write(new TextEncoder().encode(textOf(lines.slice(0, 3000))));
    await cut("copies");
    for (let at = 3000; at < lines.length; at += 1000) {
      const text = textOf(lines.slice(at, at + 1000));
      if (await writer.write(new TextEncoder().encode(text)).catch(() => "gone") === "gone") break;
    }
    await writer.close().catch(() => undefined);
    isOneLine(await ended);
    await isEmpty();
  });

  it("exits in restore, verify, export, backup and replay", async () => {
    const own = { sql: observer, embedded: false };
    await importEvents(own, linesOf(chain(100)));
    await prepareProjections(observer, projections);
    const signing = parseSigningKey(newSigningKey());
    await backup(observer, { folder: `${dir}/backups`, signing });
    const held: [string[], string][] = [
      [["verify"], "events"],
      [["events", "export", `${dir}/again`], "events"],
      [["backup", `${dir}/other`], "events"],
      [["replay", "visits"], "read.projections"],
      [["replay"], "read.projections"],
      [["restore", `${dir}/backups`], "counter"],
    ];
    for (const [words, table] of held) {
      const ended = await cutWhileHeld(`lock table ${table} in access exclusive mode`, words);
      assertMatch(ended.stderr, /^error: [^\n]+\n$/, words.join(" "));
      assertEquals([ended.code, ended.stdout], [1, ""], words.join(" "));
    }
    const left = [...Deno.readDirSync(`${dir}/other`)].map(({ name }) => name);
    assert(left.every((name) => !name.endsWith(".part")), left.join(", "));
  });
});
