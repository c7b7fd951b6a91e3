// The statements of a batch: reads under the counter's lock, and writes.
import type { Recorded } from "$events/mod.ts";
import type { Tx } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { jsonArray, numberArray, textArray } from "./array_literals.ts";
import { deleteKeys, insertKeys } from "./personal_data.ts";

export type Idempotency = { scope: string; key: string; fingerprint: string };
export type Head = { position: number; seal: string; at: Date };
export type IdempotencyRecord = Idempotency & { first: number; last: number };
export type Row = { event: Recorded; data: string; meta: string };

/** Everything that a batch writes. */
export type WriteSet = {
  rows: Row[];
  keys: Map<string, Uint8Array>;
  erase: string[];
  idempotency: IdempotencyRecord[];
};

export const IDEMPOTENCY_HOURS = 24;

export function idOf({ scope, key }: { scope: string; key: string }): string {
  return `${scope}\n${key}`;
}

/** The time is the database's, and never runs backwards in the log. */
export async function lockCounter(tx: Tx): Promise<Head> {
  const [head] = await tx<Head[]>`
    select position, seal, greatest(at, date_trunc('milliseconds', clock_timestamp())) as at
    from counter for update`;
  if (!head) throw new AppError("unavailable", "the log has no counter: run the migrations");
  return head;
}

// One lateral lookup per stream: `exists` over `unnest` was planned as a scan of the growing log.
export async function findVersions(tx: Tx, streams: string[]): Promise<Map<string, number>> {
  const rows = await tx<{ stream: string; version: number }[]>`
    select asked.stream, latest.version
    from unnest(${textArray(streams)}::text[]) asked(stream)
    cross join lateral (
      select version from events where stream = asked.stream order by version desc limit 1
    ) latest`;
  return new Map(rows.map((row) => [row.stream, row.version]));
}

export async function findKnown(
  tx: Tx,
  asked: Idempotency[],
): Promise<Map<string, IdempotencyRecord>> {
  if (asked.length === 0) return new Map();
  const rows = await tx<IdempotencyRecord[]>`
    select i.scope, i.key, i.fingerprint, i.first, i.last
    from unnest(${asked.map((a) => a.scope)}::text[], ${asked.map((a) => a.key)}::text[])
      asked(scope, key)
    join idempotency i on i.scope = asked.scope and i.key = asked.key
    where i.at > clock_timestamp() - make_interval(hours => ${IDEMPOTENCY_HOURS})`;
  return new Map(rows.map((row) => [idOf(row), row]));
}

export async function write(tx: Tx, taken: WriteSet, head: Head): Promise<void> {
  await Promise.all([
    moveCounter(tx, head),
    insertKeys(tx, taken.keys),
    deleteKeys(tx, taken.erase),
    insertIdempotency(tx, taken.idempotency),
    insertEvents(tx, taken.rows),
  ]);
}

/** Positions are consecutive, and a batch has one time. */
async function insertEvents(tx: Tx, rows: Row[]): Promise<void> {
  const first = rows[0]?.event;
  if (first === undefined) return;
  await tx`
    insert into events (position, stream, version, type, data, meta, at, seal)
    select ${first.position - 1}::bigint + nth, stream, version, type, data, meta, ${first.at}, seal
    from rows from (
      unnest(${textArray(rows.map(({ event }) => event.stream))}::text[]),
      unnest(${numberArray(rows.map(({ event }) => event.version))}::bigint[]),
      unnest(${textArray(rows.map(({ event }) => event.type))}::text[]),
      jsonb_array_elements(${jsonArray(rows.map(({ data }) => data))}::text::jsonb),
      jsonb_array_elements(${jsonArray(rows.map(({ meta }) => meta))}::text::jsonb),
      unnest(${textArray(rows.map(({ event }) => event.seal))}::text[])
    ) with ordinality e(stream, version, type, data, meta, seal, nth)`;
}

async function insertIdempotency(tx: Tx, entries: IdempotencyRecord[]): Promise<void> {
  if (entries.length === 0) return;
  await tx`
    insert into idempotency (scope, key, fingerprint, first, last, at)
    select scope, key, fingerprint, first, last, clock_timestamp()
    from unnest(
      ${entries.map((entry) => entry.scope)}::text[],
      ${entries.map((entry) => entry.key)}::text[],
      ${entries.map((entry) => entry.fingerprint)}::text[],
      ${entries.map((entry) => entry.first)}::bigint[],
      ${entries.map((entry) => entry.last)}::bigint[]
    ) i(scope, key, fingerprint, first, last)
    on conflict (scope, key) do update set
      fingerprint = excluded.fingerprint, first = excluded.first, last = excluded.last,
      at = excluded.at`;
}

/** One notification for the whole batch: notifying transactions queue for one lock when they commit. */
async function moveCounter(tx: Tx, { position, seal, at }: Head): Promise<void> {
  await tx`
    with moved as (update counter set position = ${position}, seal = ${seal}, at = ${at})
    select pg_notify('tallybook', ${String(position)})`;
}
