// Keeps the read models exactly at the log's head: inside the append's transaction, with a
// savepoint and a position each. A poison event stops only its own projection; catchUp() repairs it
// afterwards.
import type { Recorded } from "$events/mod.ts";
import { applyEvents, liveTables, type Projection } from "$projections/projection.ts";
import {
  inSavepoint,
  inTransaction,
  isConnectionError,
  type Sql,
  type Tx,
} from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import type { Hook } from "../store/appender.ts";
import { readEvents } from "../store/read.ts";

export type ProjectionState = {
  name: string;
  revision: number;
  position: number;
  error: string | null;
  rebuild: number | null;
};

const PAGE = 1000;

export async function projectionStates(sql: Sql | Tx): Promise<ProjectionState[]> {
  return await sql<ProjectionState[]>`
    select name, revision, position, error, rebuild from read.projections order by name`;
}

/** The hook that updates the read models in the append's own transaction. */
export function liveHook(projections: Projection[]): Hook<ProjectionState[]> {
  const ready = (events: Recorded[], states: ProjectionState[]) => {
    const before = (events[0]?.position ?? 0) - 1;
    return projections.filter(({ name }) =>
      states.some((state) => state.name === name && state.position === before)
    );
  };
  return {
    loadState: projectionStates,
    apply: (tx, events, states) => applyAll(tx, ready(events, states), events),
    async applyIsolated(tx, events, states) {
      for (const projection of ready(events, states)) await applyApart(tx, projection, events);
    },
  };
}

async function applyApart(tx: Tx, projection: Projection, events: Recorded[]): Promise<void> {
  try {
    await inSavepoint(tx, (inner) => applyAll(inner, [projection], events));
  } catch (error) {
    // A full disk or a lost connection is not the event's fault: the whole batch fails.
    if (isConnectionError(error)) throw error;
    await markStopped(tx, projection.name, error);
  }
}

async function applyAll(tx: Tx, ready: Projection[], events: Recorded[]): Promise<void> {
  const work = ready.map((one) => applyEvents(one, tx, { events, table: liveTables(tx) }));
  const last = events.at(-1)?.position;
  const names = ready.map(({ name }) => name);
  if (last !== undefined && names.length > 0) work.push(moveTo(tx, names, last));
  await Promise.all(work);
}

async function moveTo(tx: Tx, names: string[], position: number): Promise<void> {
  await tx`
    update read.projections set position = ${position}, error = null
    where name = any(${names}::text[])`;
}

async function markStopped(tx: Tx, name: string, error: unknown): Promise<void> {
  await tx`update read.projections set error = ${reason(error)} where name = ${name}`;
}

/** Creates missing tables; returns the projections to rebuild because their code changed. */
export async function prepareProjections(sql: Sql, projections: Projection[]): Promise<string[]> {
  return await inTransaction(sql, async (tx) => {
    await tx`select from counter for update`;
    const states = await projectionStates(tx);
    for (const projection of projections) {
      if (states.some(({ name }) => name === projection.name)) continue;
      await projection.create(tx, liveTables(tx));
      await tx`
        insert into read.projections (name, revision, position)
        values (${projection.name}, ${projection.revision}, 0)`;
    }
    return states.filter((state) =>
      projections.some(({ name, revision }) => name === state.name && revision !== state.revision)
    ).map(({ name }) => name);
  });
}

/**
 * Brings a stopped or new projection to the head: in pages of its own, the last of them under the
 * counter's lock, so that the next append finds it ready. Returns whether it is.
 */
export async function catchUp(sql: Sql, projection: Projection): Promise<boolean> {
  while (true) {
    const done = await step(sql, projection, PAGE);
    if (done === "head") return true;
    if (done === "poison") return await upToPoison(sql, projection);
  }
}

/** Applies one event at a time, so that everything before the poison event is applied. */
async function upToPoison(sql: Sql, projection: Projection): Promise<boolean> {
  while (true) {
    const done = await step(sql, projection, 1);
    if (done === "head") return true;
    if (done === "poison") return false;
  }
}

async function step(
  sql: Sql,
  projection: Projection,
  limit: number,
): Promise<"more" | "head" | "poison"> {
  try {
    return await inTransaction(sql, async (tx) => {
      const { head, position, locked } = await lockedLag(tx, projection.name, limit);
      // Reads only the types it handles: an event that another projection cannot read must not stop
      // this one.
      const types = Object.keys(projection.handlers);
      const events = await readEvents(tx, { after: position, until: head, types, limit });
      const last = events.length < limit ? head : events.at(-1)?.position ?? head;
      await applyEvents(projection, tx, { events, table: liveTables(tx) });
      await moveTo(tx, [projection.name], last);
      return locked && last === head ? "head" : "more";
    });
  } catch (error) {
    if (!isPoison(error)) throw error;
    if (limit === 1) {
      await sql`
        update read.projections set error = ${reason(error)} where name = ${projection.name}`;
    }
    return "poison";
  }
}

/** Near the head it locks the counter first: appends wait for this one short page. */
async function lockedLag(tx: Tx, name: string, limit: number) {
  const { head, position } = await lagOf(tx, name);
  const locked = head - position <= limit;
  if (locked) await tx`select from counter for update`;
  // Always after the counter, as in the live hook: two processes that catch up take turns here.
  await tx`select from read.projections where name = ${name} for update`;
  return { ...await lagOf(tx, name), locked };
}

async function lagOf(tx: Tx, name: string): Promise<{ head: number; position: number }> {
  const [row] = await tx<{ head: number; position: number }[]>`
    select c.position as head, p.position
    from counter c, read.projections p where p.name = ${name}`;
  if (!row) throw new AppError("unavailable", `no such projection: ${name}`);
  return row;
}

// Errors of the database or of a schema about the data; any other error (a lost connection) is not
// the event's fault.
export function isPoison(error: unknown): boolean {
  if (error instanceof AppError) return error.code === "conflict";
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return /^(22|23|42|P0)/.test(code) || error instanceof TypeError;
}
