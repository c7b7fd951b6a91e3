// Thousands of voters at once, and thousands of connections that send nothing or next to nothing.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { LONG } from "./long.ts";
import { checkLog, healthy } from "./outcome.ts";
import { trial } from "../support/trial.ts";
import { waitFor } from "../support/until.ts";

const VOTERS = LONG ? 10_000 : 3000;
// As many connections as Nginx' workers and this one process can hold open, each reused once it is free.
const AT_ONCE = 1000;
const SILENT = LONG ? 2000 : 600;
const REPLICAS = 2;
const POOL = 10;
/**
 * Beside the pool each process has one connection that listens and one that holds, or waits for,
 * the leader's lock.
 */
const BESIDE = 2;

let stack: Stack;
let sql: Sql;

async function vote(): Promise<number> {
  const answer = await fetch(`${stack.url}/polls/1/votes`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ option: "option_a" }),
  });
  await answer.body?.cancel();
  return answer.status;
}

async function votesIn(): Promise<number> {
  const [row] = await sql<{ voters: number }[]>`select voters from read.polls where id = 1`;
  return row?.voters ?? 0;
}

async function connections(): Promise<number> {
  const [row] = await sql<{ n: number }[]>`
    select count(*) as n from pg_stat_activity
    where usename = 'tallybook' and application_name = 'tallybook'`;
  return row?.n ?? 0;
}

/** The slowest and the median of that many reads, one after the other. */
async function reads(count: number): Promise<{ median: number; worst: number }> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const started = performance.now();
    const answer = await fetch(`${stack.url}/polls/1`, { headers: { accept: "application/json" } });
    await answer.body?.cancel();
    assertEquals(answer.status, 200);
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  return { median: times[count >> 1] ?? 0, worst: times.at(-1) ?? 0 };
}

describe("thousands of clients at once", () => {
  before(async () => {
    stack = await startStack({
      replicas: REPLICAS,
      env: { RATE_LIMIT: "off", POOL_SIZE: String(POOL) },
    });
    sql = connect(stack.databaseUrl, { max: 2, name: "observer" });
    await healthy(stack.apps);
  });
  after(async () => {
    await sql.end({ timeout: 5 });
    await stack[Symbol.asyncDispose]();
  });

  it(
    "have every vote counted, over no more database connections than configured",
    trial("the herd", undefined, async (figure) => {
      const before = await votesIn();
      let most = 0;
      let over = false;
      const watching = (async () => {
        while (!over) most = Math.max(most, await connections());
      })();
      const statuses = new Map<number, number>();
      let left = VOTERS;
      const started = performance.now();
      await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0) {
          const status = await vote();
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
      }));
      const seconds = (performance.now() - started) / 1000;
      over = true;
      await watching;
      figure(
        `${VOTERS} voters, ${AT_ONCE} at a time, answered in ${seconds.toFixed(1)} s ` +
          `(${Math.round(VOTERS / seconds)}/s), ${most} database connections at most`,
      );
      assertEquals([...statuses], [[201, VOTERS]]);
      assertEquals(await votesIn() - before, VOTERS);
      assert(most <= REPLICAS * (POOL + BESIDE), `${most} connections`);
      await checkLog(sql);
    }),
  );

  it(
    "do not slow other clients down while they send nothing or a byte a second",
    trial("slow connections", undefined, async (figure) => {
      const calm = await reads(50);
      await using own = new AsyncDisposableStack();
      const { port } = new URL(stack.url);
      const open: Deno.Conn[] = [];
      for (let i = 0; i < SILENT; i++) {
        const conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
        own.defer(() => closed(conn));
        open.push(conn);
      }
      const trickle = new TextEncoder().encode(
        "POST /sign HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n",
      );
      let sent = 0;
      const dripping = setInterval(() => {
        const byte = trickle.subarray(sent, ++sent);
        for (let i = 0; i < open.length; i += 2) open[i]?.write(byte).catch(() => undefined);
      }, 1000);
      own.defer(() => clearInterval(dripping));
      await waitFor(() => sent >= 2, 10_000, "the slow ones to begin");
      const beset = await reads(50);
      assertEquals(await vote(), 201);
      figure(
        `${SILENT} connections; a read took ${calm.median.toFixed(1)} ms before and ` +
          `${beset.median.toFixed(1)} ms meanwhile (worst ${beset.worst.toFixed(0)} ms)`,
      );
      assert(beset.worst < 2000, `a read took ${beset.worst} ms`);
    }),
  );
});

function closed(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
