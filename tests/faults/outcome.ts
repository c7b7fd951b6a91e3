// Invariants after any fault: each acknowledged write is in the log exactly once, none is invented, the
// chain is whole, and the read models equal a fresh replay of the log.
import { assert, assertEquals } from "@std/assert";
import { projections } from "$projections/mod.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { checkReplay } from "$src/projector/replay.ts";
import { readAll } from "$src/store/read.ts";
import { verifyLog } from "$src/store/verify.ts";
import type { ManagedProcess } from "$src/cli/stack/mod.ts";
import type { Issued, Kind, Load } from "./load.ts";
import { waitFor } from "../support/until.ts";

const HANGS_AFTER_MS = 10_500;

/** A user's event and the claim of its address are appended together. */
const EVENTS: Record<Kind, number> = { vote: 1, revote: 1, sign: 1, register: 2, rename: 1 };

type Found = { count: number; last: number };

/** Grouped by the id that all attempts of one write carry. */
async function found(sql: Sql): Promise<Map<string, Found>> {
  const known = new Map<string, Found>();
  const note = (key: string, position: number) => {
    known.set(key, { count: (known.get(key)?.count ?? 0) + 1, last: position });
  };
  for await (const event of readAll(sql)) {
    if (event.meta.actor === "visitor") note(event.meta.request ?? "", event.position);
  }
  return known;
}

function checkWrite(issued: Issued, stored: Found | undefined): void {
  const { key, kind, position } = issued;
  const what = `${kind} ${key} (${issued.tries} tries)`;
  if (stored === undefined) {
    return assertEquals(position, undefined, `acknowledged and lost: ${what}`);
  }
  assertEquals(stored.count, EVENTS[kind], `in the log more or less than once: ${what}`);
  // A repeated rename had nothing to change and was answered with the head.
  if (kind === "rename") assert(position === undefined || position >= stored.last, what);
  else if (position !== undefined) assertEquals(stored.last, position, `another position: ${what}`);
}

export async function checkOutcome(databaseUrl: string, load: Load): Promise<number> {
  assertEquals(load.wrong.slice(0, 5), [], `${load.wrong.length} answers that no fault excuses`);
  assert(load.slowestMs < HANGS_AFTER_MS, `a request hung for ${Math.round(load.slowestMs)} ms`);
  const sql = connect(databaseUrl, { max: 3, patient: true });
  try {
    const known = await found(sql);
    for (const issued of load.issued.values()) checkWrite(issued, known.get(issued.key));
    return (await checkLog(sql)).position;
  } finally {
    await sql.end({ timeout: 5 });
  }
}

/** The log holds nothing that no client issued. */
export async function checkNoneInvented(databaseUrl: string, loads: Load[]): Promise<void> {
  const sql = connect(databaseUrl, { max: 3, patient: true });
  try {
    const keys = [...(await found(sql)).keys()];
    assertEquals(keys.filter((key) => !loads.some(({ issued }) => issued.has(key))), []);
  } finally {
    await sql.end({ timeout: 5 });
  }
}

export async function checkLog(sql: Sql): Promise<{ position: number }> {
  const verdict = await verifyLog(sql);
  if (!verdict.ok) throw new Error(`verify: ${JSON.stringify(verdict)}`);
  for (const projection of projections) {
    assertEquals(await checkReplay(sql, projection), [], `rows of ${projection.name} differ`);
  }
  return verdict.head;
}

export async function healthy(apps: ManagedProcess[], withinMs = 5000): Promise<number> {
  const started = performance.now();
  let last = "";
  const well = async () => {
    const answers = await Promise.all(apps.map(async ({ port }) => {
      const answer = await fetch(`http://127.0.0.1:${port}/health`);
      return await answer.text();
    }));
    last = answers.join("\n");
    return answers.every((text) => JSON.parse(text).status === "healthy");
  };
  await waitFor(well, withinMs, "the service to be healthy").catch((error) => {
    throw new Error(`${String(error)}: ${last}`);
  });
  return Math.round(performance.now() - started);
}
