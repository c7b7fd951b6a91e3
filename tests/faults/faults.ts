// The faults: each breaks a running stack and repairs it.
import postgres from "postgres";
import { Redis } from "ioredis";
import type { Stack } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";

export type Fault = (stack: Stack, next: () => number) => Promise<void>;

const DOWN_MS = 3000;
const FROZEN_MS = 5000;

const wait = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

function anApp({ apps }: Stack, next: () => number) {
  const app = apps[Math.floor(next() * apps.length)];
  if (!app) throw new Error("a stack without an app");
  return app;
}

export async function asOwner<Result>(
  { ownerDatabaseUrl }: Stack,
  work: (sql: postgres.Sql) => PromiseLike<Result>,
): Promise<Result> {
  const sql = postgres(ownerDatabaseUrl, { max: 1, onnotice: () => {} });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

export async function isLeader(appUrl: string): Promise<boolean> {
  const text = await (await fetch(`${appUrl}/metrics`)).text();
  return /^tallybook_leader 1$/m.test(text);
}

/** The index of the replica that is the leader; -1 while there is none. */
export async function leaderOf(stack: Stack): Promise<number> {
  return (await Promise.all(stack.appUrls.map(isLeader))).indexOf(true);
}

/** Called while the counter's row is locked. */
export async function someAppendWaits(tx: postgres.TransactionSql): Promise<boolean> {
  await tx`select pg_stat_clear_snapshot()`;
  const [row] = await tx<{ n: number }[]>`
    select count(*)::int as n from pg_stat_activity
    where wait_event_type = 'Lock' and query like '%from counter for update%'`;
  return (row?.n ?? 0) > 0;
}

export const faults: Record<string, Fault> = {
  async "an app killed"(stack, next) {
    const app = anApp(stack, next);
    await app.kill();
    await wait(500 + next() * 1000);
    await app.start();
  },

  /** Kills the app while its transaction is open and waits for the counter's row. */
  async "an app killed in its batch"(stack, next) {
    const app = anApp(stack, next);
    await asOwner(stack, (sql) =>
      sql.begin(async (tx) => {
        await tx`select from counter for update`;
        await waitFor(() => someAppendWaits(tx));
        await app.kill();
      }));
    await app.start();
  },

  async "PostgreSQL killed, back after 3 s"({ postgres }) {
    await postgres.kill();
    await wait(DOWN_MS);
    await postgres.start();
  },

  async "PostgreSQL frozen for 5 s"({ postgres }) {
    await postgres.pause();
    await wait(FROZEN_MS);
    await postgres.resume();
  },

  async "Redis killed"({ redis }, next) {
    await redis.kill();
    await wait(500 + next() * 1500);
    await redis.start();
  },

  async "every connection cut"(stack) {
    await asOwner(stack, (sql) =>
      sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where usename = 'tallybook' and pid <> pg_backend_pid()`);
    const redis = new Redis(stack.redisUrl, { lazyConnect: true });
    await redis.connect();
    await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    redis.disconnect();
  },
};
