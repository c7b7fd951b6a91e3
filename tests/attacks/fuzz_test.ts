// Requests from a grammar of methods, paths, headers, cookies, bodies, encodings and smuggling attempts,
// sent to Nginx and to the app itself: no 5xx, no hang, nothing left behind.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { shell } from "$src/cli/stack/shell.ts";
import { connect } from "$src/connections/postgres.ts";
import { LONG, seed } from "../faults/long.ts";
import { checkLog, healthy } from "../faults/outcome.ts";
import { random } from "../faults/random.ts";
import { trial } from "../support/trial.ts";
import { waitFor } from "../support/until.ts";
import { mutated } from "./grammar.ts";
import { raw, statusesIn } from "./raw.ts";

const REQUESTS = LONG ? 100_000 : 3000;
const AT_ONCE = 32;
const MORE_MEMORY_MB = 150;

let stack: Stack;

type Tried = { sent: number; statuses: Map<number, number>; bad: string[]; slowestMs: number };

/** Resident megabytes of the app's process. */
async function memory(): Promise<number> {
  const text = await shell('cat "/proc/$1/status"', String(stack.apps[0]?.pid));
  return Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024;
}

async function fuzz(url: string, requests: number, seed: number): Promise<Tried> {
  const tried: Tried = { sent: 0, statuses: new Map(), bad: [], slowestMs: 0 };
  await Promise.all(Array.from({ length: AT_ONCE }, async (_, client) => {
    const next = random(seed + client);
    while (tried.sent < requests) {
      tried.sent++;
      const request = mutated(next, stack.secrets);
      const started = performance.now();
      const statuses = statusesIn(await raw(url, request, 30));
      tried.slowestMs = Math.max(tried.slowestMs, performance.now() - started);
      for (const status of statuses) {
        tried.statuses.set(status, (tried.statuses.get(status) ?? 0) + 1);
        // 501: a transfer encoding unknown to Nginx; 505: a version of HTTP unknown to it.
        if (status >= 500 && status !== 501 && status !== 505) {
          tried.bad.push(`${status}: ${request.slice(0, 300)}`);
        }
      }
    }
  }));
  return tried;
}

describe(`fuzzed requests (TEST_SEED=${seed})`, () => {
  before(async () => {
    stack = await startStack({ replicas: 1, env: { RATE_LIMIT: "off" } });
    await healthy(stack.apps);
  });
  after(() => stack[Symbol.asyncDispose]());

  for (const place of ["Nginx", "the app"]) {
    it(
      `neither crash nor hang ${place}, and never cause a 5xx`,
      trial(`mutated requests to ${place}`, seed, async (figure) => {
        const url = place === "Nginx" ? stack.url : stack.appUrls[0] ?? "";
        const pid = stack.apps[0]?.pid;
        await fuzz(url, 300, seed);
        const before = await memory();
        const { sent, statuses, bad, slowestMs } = await fuzz(url, REQUESTS, seed + 1000);
        const kinds = [...statuses].sort(([a], [b]) => a - b).map(([s, n]) => `${s}: ${n}`);
        assertEquals(bad.slice(0, 3), [], `${bad.length} of ${sent}`);
        assertEquals(stack.apps[0]?.pid, pid, "the same process");
        await healthy(stack.apps);
        const after = await waitFor(
          async () => {
            const now = await memory();
            return now < before + MORE_MEMORY_MB ? now : false;
          },
          20_000,
          "the memory to be back",
        );
        figure(`${sent} requests; ${kinds.join(", ")}`);
        figure(
          `slowest ${Math.round(slowestMs)} ms; memory ${before.toFixed(0)} -> ${
            after.toFixed(0)
          } MB`,
        );
        assert(slowestMs < 10_000, `a request took ${Math.round(slowestMs)} ms`);
      }),
    );
  }

  it("leave a log that verifies and read models equal to a replay", async () => {
    const sql = connect(stack.databaseUrl, { max: 2 });
    try {
      await checkLog(sql);
    } finally {
      await sql.end({ timeout: 5 });
    }
  });

  it("that attempt smuggling are a single request to Nginx and to the app", async () => {
    const hidden = "GET /events HTTP/1.1\r\nHost: x\r\n\r\n";
    const ways = [
      `POST /sign HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
      `POST /sign HTTP/1.1\r\nHost: x\r\nContent-Length: ${hidden.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
      `POST /sign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n${hidden}`,
      `POST /sign HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc${hidden}`,
      `POST /sign HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n${hidden}`,
      `GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n`,
    ];
    for (const bytes of ways) {
      const statuses = statusesIn(await raw(stack.url, bytes));
      assert(!statuses.includes(401), `the hidden request was answered: ${bytes.slice(0, 120)}`);
      assert(statuses.every((status) => status < 500 || status === 501), String(statuses));
    }
  });
});
