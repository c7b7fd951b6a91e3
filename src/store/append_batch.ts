// One transaction for many appends. Everything that decides an outcome is read under the counter's
// lock and decided here, so a refused append never fails the batch.
import type { Meta, NewEvent, Recorded } from "$events/mod.ts";
import type { Tx } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { sealOf } from "./hash_chain.ts";
import {
  findKnown,
  findVersions,
  type Head,
  type Idempotency,
  type IdempotencyRecord,
  idOf,
  lockCounter,
  write,
  type WriteSet,
} from "./append_statements.ts";

export type Expected = number | "none" | "exists" | "any";
export type StreamAppend = { stream: string; expected: Expected; events: NewEvent[] };
export type Guard = { stream: string; version: number };

export type Append = {
  streams: StreamAppend[];
  /** Streams that this depends on and does not write to, at the version it read. */
  guards?: Guard[];
  /** The append is refused once the database's clock has passed this. */
  notAfter?: Date;
  meta: Meta;
  /** Streams whose personal fields are erased, in the same transaction. */
  erase?: string[];
  idempotency?: Idempotency;
};

export type PreparedEvent = { stream: string; event: NewEvent; data: string };
export type Prepared = {
  append: Append;
  /** As it is stored and sealed. */
  meta: string;
  events: PreparedEvent[];
  keys: Map<string, Uint8Array>;
};

export type Outcome =
  | { events: Recorded[]; first: number; last: number; replayed: false }
  | { first: number; last: number; replayed: true }
  | { error: AppError };

/**
 * Updates read models inside the append's transaction. `loadState` runs beside the lookups, under
 * the lock. `apply` may fail, and the transaction with it: the batch is then written again, and
 * `applyIsolated` confines each failure to a savepoint.
 */
export type Hook<State = unknown> = {
  loadState(tx: Tx): Promise<State>;
  apply(tx: Tx, events: Recorded[], state: State): Promise<void>;
  applyIsolated?(tx: Tx, events: Recorded[], state: State): Promise<void>;
};

export type BatchOptions = { hook?: Hook; isolated?: boolean };

type Facts = { head: Head; versions: Map<string, number>; known: Map<string, IdempotencyRecord> };

export async function writeBatch(
  tx: Tx,
  batch: Prepared[],
  { hook, isolated }: BatchOptions = {},
): Promise<Outcome[]> {
  // Small statements first: those sent in the same turn are one packet, up to the first large one.
  const [head, state, versions, known] = await Promise.all([
    lockCounter(tx),
    hook?.loadState(tx),
    findVersions(tx, streamsOf(batch)),
    findKnown(tx, batch.flatMap(({ append }) => append.idempotency ?? [])),
  ]);
  const facts = { head, versions, known };
  const writes: WriteSet = { rows: [], keys: new Map(), erase: [], idempotency: [] };
  const outcomes = batch.map((prepared) => decide(prepared, facts, writes));
  if (writes.rows.length + writes.erase.length + writes.idempotency.length === 0) return outcomes;
  const events = writes.rows.map((row) => row.event);
  const inLog = () => write(tx, writes, facts.head);
  const inRows = () => hook && setRows(tx, hook, { events, state, isolated });
  // Sent in the same turn: the connection keeps their order. The events are the large statement, so
  // they go last; but never inside the savepoint of a projection that may be rolled back.
  await Promise.all(isolated ? [inLog(), inRows()] : [inRows(), inLog()]);
  return outcomes;
}

type Setting = { events: Recorded[]; state: unknown; isolated?: boolean };

async function setRows(tx: Tx, hook: Hook, { events, state, isolated }: Setting): Promise<void> {
  if (isolated && hook.applyIsolated) await hook.applyIsolated(tx, events, state);
  else await hook.apply(tx, events, state);
}

function decide(prepared: Prepared, facts: Facts, writes: WriteSet): Outcome {
  const { append } = prepared;
  const seen = append.idempotency && facts.known.get(idOf(append.idempotency));
  if (append.idempotency && seen) return repeat(append.idempotency, seen);
  const error = refusal(append, facts);
  if (error) return { error };
  const events = prepared.events.map((event) => accept(event, prepared, facts, writes));
  for (const [stream, key] of prepared.keys) writes.keys.set(stream, key);
  writes.erase.push(...append.erase ?? []);
  // Without events, a repeat gets an empty range at the head.
  const last = facts.head.position;
  const first = events[0]?.position ?? last + 1;
  if (append.idempotency) {
    const entry = { ...append.idempotency, first, last };
    facts.known.set(idOf(entry), entry);
    writes.idempotency.push(entry);
  }
  return { events, first, last, replayed: false };
}

function repeat(asked: Idempotency, known: IdempotencyRecord): Outcome {
  try {
    sameRequest(asked, known);
    return { first: known.first, last: known.last, replayed: true };
  } catch (error) {
    if (error instanceof AppError) return { error };
    throw error;
  }
}

/** Returns true or throws: one key stands for one request only. */
export function sameRequest(asked: Idempotency, known: { fingerprint: string }): true {
  if (known.fingerprint === asked.fingerprint) return true;
  const message = "this Idempotency-Key was used with another request: send a new key";
  throw new AppError("invalid", message);
}

function refusal({ streams, guards, notAfter }: Append, { head, versions }: Facts) {
  for (const { stream, version } of guards ?? []) {
    const actual = versions.get(stream) ?? 0;
    if (actual !== version) return versionConflict(stream, version, actual);
  }
  for (const { stream, expected, events } of streams) {
    const actual = versions.get(stream) ?? 0;
    if (!matches(expected, actual)) return versionConflict(stream, expected, actual);
    if (actual + events.length > Number.MAX_SAFE_INTEGER) {
      return new AppError("conflict", `${stream} is at its last version: ${actual}`);
    }
  }
  // Checked last: an append that was overtaken may have read an older deadline than the current
  // one.
  if (notAfter && head.at >= notAfter) {
    return new AppError("conflict", `too late: closed at ${notAfter.toISOString()}`);
  }
}

function matches(expected: Expected, actual: number): boolean {
  if (expected === "any") return true;
  if (expected === "none") return actual === 0;
  if (expected === "exists") return actual > 0;
  return actual === expected;
}

function versionConflict(stream: string, expected: Expected, actual: number): AppError {
  const message = `${stream} is at version ${actual}, not at the expected: ${expected}`;
  return new AppError("conflict", message, { stream, actual });
}

function accept(
  { stream, event, data }: PreparedEvent,
  { append: { meta }, meta: metaText }: Prepared,
  facts: Facts,
  writes: WriteSet,
): Recorded {
  const version = (facts.versions.get(stream) ?? 0) + 1;
  const position = facts.head.position + 1;
  const { at } = facts.head;
  const { type } = event;
  const seal = sealOf(facts.head.seal, { position, stream, version, type, at }, data, metaText);
  facts.versions.set(stream, version);
  facts.head = { position, seal, at };
  const recorded = { ...event, position, stream, version, at, meta, seal, erased: false };
  writes.rows.push({ event: recorded, data, meta: metaText });
  return recorded;
}

function streamsOf(batch: Prepared[]): string[] {
  const streams = new Set<string>();
  for (const { append } of batch) {
    for (const { stream } of append.streams) streams.add(stream);
    for (const { stream } of append.guards ?? []) streams.add(stream);
  }
  return [...streams];
}
