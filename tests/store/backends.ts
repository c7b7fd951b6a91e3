// The same suite for real PostgreSQL and for the embedded one. Tests that the embedded one cannot run are
// listed with the reason and counted.
import { after, before, describe, it } from "@std/testing/bdd";
import { loadConfig } from "$src/config/config.ts";
import {
  connect,
  type Database,
  openDatabase,
  type Sql,
  type Tx,
} from "$src/connections/postgres.ts";
import { migrate } from "$src/store/migrate.ts";
import { GENESIS } from "$src/store/hash_chain.ts";
import { freshDatabase, opened } from "../support/database.ts";

export type Log = AsyncDisposable & Database & {
  /** A connection pool of its own, as another process or a restarted one has. */
  another(): Promise<AsyncDisposable & { sql: Sql }>;
};

export type Backend = {
  name: "PostgreSQL" | "embedded";
  open(): Promise<Log>;
};

const postgres: Backend = {
  name: "PostgreSQL",
  async open() {
    const database = await freshDatabase();
    const sql = connect(database.ownerUrl, { max: 4 });
    await migrate(sql);
    return {
      sql,
      embedded: false,
      another: () => Promise.resolve(opened(database.ownerUrl, 4)),
      async [Symbol.asyncDispose]() {
        await sql.end({ timeout: 5 });
        await database[Symbol.asyncDispose]();
      },
    };
  },
};

const embedded: Backend = {
  name: "embedded",
  async open() {
    const dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    const config = { ...loadConfig(), DATABASE_URL: undefined, DATA_DIR: dir };
    const database = await openDatabase(config);
    await migrate(database.sql);
    return {
      ...database,
      another: () => openDatabase(config),
      async [Symbol.asyncDispose]() {
        await database[Symbol.asyncDispose]();
        await Deno.remove(dir, { recursive: true });
      },
    };
  },
};

export type Case = (name: string, run: (log: Log) => Promise<void>) => void;
export type Suite = {
  /** Runs on both, in a log shared by the whole suite. */
  test: Case;
  /** Runs on both, in a log without events of other tests. */
  alone: Case;
  /** Runs on real PostgreSQL only, for a reason that is printed. */
  realOnly(reason: string): { test: Case; alone: Case };
};

/** Called inside a `describe` of the test's own file, from which a report takes the test's location. */
export function onBoth(subject: string, suite: (cases: Suite) => void): void {
  const counts = { PostgreSQL: 0, embedded: 0 };
  const leftOut: string[] = [];
  for (const backend of [postgres, embedded]) {
    describe(`on ${backend.name}`, () => {
      let log: Log;
      before(async () => {
        log = await backend.open();
      });
      after(async () => {
        await log[Symbol.asyncDispose]();
        if (backend === embedded) say(subject, counts, leftOut);
      });
      suite(casesOf(backend, () => log, (name, reason) => {
        if (reason === undefined) counts[backend.name]++;
        else leftOut.push(`"${name}" (${reason})`);
      }));
    });
  }
}

async function isUsed(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ used: boolean }[]>`
    select exists (select from events) or exists (select from keys) as used`;
  return row?.used ?? true;
}

/** Runs in one transaction as a superuser, with triggers off. */
export function unstopped<Result>(sql: Sql, work: (tx: Tx) => Promise<Result>) {
  return sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    return await work(tx);
  });
}

/** Resets the log to before its first event: a new database for each test would take seconds. */
export async function empty(sql: Sql): Promise<void> {
  await unstopped(sql, async (tx) => {
    await tx`delete from events`;
    await tx`delete from keys`;
    await tx`delete from idempotency`;
    await tx`update counter set position = 0, seal = ${GENESIS}, at = '1970-01-01Z'`;
  });
}

type Count = (name: string, leftOutFor?: string) => void;

function casesOf(backend: Backend, shared: () => Log, count: Count): Suite {
  const test: Case = (name, run) => {
    count(name);
    it(name, () => run(shared()));
  };
  const alone: Case = (name, run) => {
    count(name);
    it(name, async () => {
      if (await isUsed(shared().sql)) await empty(shared().sql);
      try {
        await run(shared());
      } finally {
        await empty(shared().sql);
      }
    });
  };
  const realOnly = (reason: string) => {
    const leaveOut: Case = (name) => count(name, reason);
    return backend === embedded ? { test: leaveOut, alone: leaveOut } : { test, alone };
  };
  return { test, alone, realOnly };
}

function say(subject: string, counts: Record<Backend["name"], number>, leftOut: string[]): void {
  const left = leftOut.length === 0 ? "nothing left out" : `left out: ${leftOut.join(", ")}`;
  const line =
    `${subject}: ${counts.PostgreSQL} on PostgreSQL, ${counts.embedded} embedded; ${left}`;
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
