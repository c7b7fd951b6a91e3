// Reads the log in order: by stream, by type, from a position, in pages or all of it.
import {
  type EventType,
  isEventType,
  type Meta,
  type NewEvent,
  parseStored,
  type Recorded,
  upcasters,
} from "$events/mod.ts";
import type { Sql, Tx } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";
import { decrypt, findKeys, type Keys } from "./personal_data.ts";
import { unreadable } from "./undecryptable.ts";

export type Range = {
  /** Positions after this one. */
  after?: number;
  /** Positions up to and with this one. */
  until?: number;
  stream?: string;
  types?: string[];
  /** Of this type, only events that do not open their stream. */
  later?: string;
};

export type Page = Range & { limit?: number };

/** A row as it is stored: personal fields still encrypted. */
export type StoredEvent = {
  position: number;
  stream: string;
  version: number;
  type: string;
  data: unknown;
  meta: Meta;
  at: Date;
  seal: string;
};

// Measured over a million events: pages four times as large take 40 MB more and no less time.
const PAGE = 500;

export async function readStored(sql: Sql | Tx, page: Page): Promise<StoredEvent[]> {
  const { after = 0, until, stream, types, later, limit = PAGE } = page;
  return await sql<StoredEvent[]>`
    select position, stream, version, type, data, meta, at, seal
    from events
    where position > ${after}
      ${until === undefined ? sql`` : sql`and position <= ${until}`}
      ${stream === undefined ? sql`` : sql`and stream = ${stream}`}
      ${types === undefined ? sql`` : sql`and type = any(${types}::text[])`}
      ${later === undefined ? sql`` : sql`and not (version = 1 and type = ${later})`}
    order by position
    limit ${limit}`;
}

export type Newest = {
  before?: number;
  stream?: string;
  type?: string;
  from?: Date;
  to?: Date;
  limit: number;
};

/** The newest events of the log, for people who read it. */
export async function readNewest(sql: Sql, asked: Newest): Promise<StoredEvent[]> {
  const { before, stream, type, from, to, limit } = asked;
  return await sql<StoredEvent[]>`
    select position, stream, version, type, data, meta, at, seal
    from events
    where true
      ${before === undefined ? sql`` : sql`and position < ${before}`}
      ${stream === undefined ? sql`` : sql`and stream = ${stream}`}
      ${type === undefined ? sql`` : sql`and type = ${type}`}
      ${from === undefined ? sql`` : sql`and at >= ${from}`}
      ${to === undefined ? sql`` : sql`and at <= ${to}`}
    order by position desc
    limit ${limit}`;
}

export async function readEvents(sql: Sql | Tx, page: Page): Promise<Recorded[]> {
  return await decode(sql, await readStored(sql, page));
}

export type Readable = {
  events: Recorded[];
  /** The last position of the page, readable or not; undefined where there is nothing more. */
  last: number | undefined;
  /** Whether an event of the page could not be read. */
  passedOver: boolean;
};

/**
 * For readers that pass events on. An event that fits no schema stops the projection it is for; it
 * must not hold up everything after it.
 */
export async function readReadable(sql: Sql | Tx, page: Page): Promise<Readable> {
  const rows = await readStored(sql, page);
  const keys = await keysFor(sql, rows);
  const events = rows.flatMap((row) => {
    try {
      return [decodeOne(row, keys)];
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      log.warn("store.event_skipped", { position: row.position, error: reason(error) });
      return [];
    }
  });
  return { events, last: rows.at(-1)?.position, passedOver: events.length < rows.length };
}

/** A stream from its first version; `until` is a position, as everywhere. */
export async function readStream(
  sql: Sql | Tx,
  stream: string,
  until?: number,
): Promise<Recorded[]> {
  const rows = await sql<StoredEvent[]>`
    select position, stream, version, type, data, meta, at, seal
    from events
    where stream = ${stream} ${until === undefined ? sql`` : sql`and position <= ${until}`}
    order by version`;
  return await decode(sql, rows);
}

/** Keyset pages instead of a cursor: no transaction stays open while the reader works. */
export async function* pagesOf(sql: Sql, page: Page = {}): AsyncGenerator<StoredEvent[]> {
  let { after = 0 } = page;
  while (true) {
    const rows = await readStored(sql, { ...page, after });
    const last = rows.at(-1);
    if (!last) return;
    yield rows;
    after = last.position;
  }
}

export async function* readAll(sql: Sql, range: Page = {}): AsyncGenerator<Recorded> {
  for await (const rows of pagesOf(sql, range)) yield* await decode(sql, rows);
}

export async function readHead(sql: Sql | Tx): Promise<{ position: number; seal: string }> {
  const [head] = await sql<{ position: number; seal: string }[]>`
    select position, seal from counter`;
  if (!head) throw new AppError("unavailable", "the log has no counter: run the migrations");
  return head;
}

/** Undefined beyond the head. */
export async function sealAt(sql: Sql, position: number): Promise<string | undefined> {
  const [row] = await sql<{ seal: string }[]>`select seal from events where position = ${position}`;
  return row?.seal;
}

export async function decode(sql: Sql | Tx, rows: StoredEvent[]): Promise<Recorded[]> {
  const keys = await keysFor(sql, rows);
  return rows.map((row) => decodeOne(row, keys));
}

export async function keysFor(sql: Sql | Tx, rows: StoredEvent[]): Promise<Keys> {
  return await findKeys(
    sql,
    rows.filter((row) => carriesPersonal(row)).map(({ stream }) => stream),
  );
}

function carriesPersonal({ data }: StoredEvent): boolean {
  if (typeof data !== "object" || data === null) return false;
  return Object.values(data).some((value) => typeof value === "object" && value && "$enc" in value);
}

const LOOKED_AT = 50;

/** Streams whose text still does not decrypt: restoring or deleting the key removes them. */
export async function stillUnreadable(sql: Sql): Promise<string[]> {
  const streams = unreadable.streams.slice(0, LOOKED_AT);
  if (streams.length === 0) return [];
  const rows = await sql<StoredEvent[]>`
    select position, stream, version, type, data, meta, at, seal
    from events where stream = any(${streams}::text[])`;
  const keys = await keysFor(sql, rows);
  const still = new Set(
    rows.filter((row) => isUndecryptable(row, keys)).map(({ stream }) => stream),
  );
  for (const stream of streams) if (!still.has(stream)) unreadable.forget(stream);
  return [...still].sort();
}

/** Whether a key exists and does not decrypt the text. */
export function isUndecryptable(
  { stream, type, data }: Omit<StoredEvent, "meta">,
  keys: Keys,
): boolean {
  return isEventType(type) && decrypt(type, data, { stream, key: keys.get(stream) }).unreadable;
}

export function decodeOne(row: StoredEvent, keys: Keys): Recorded {
  const { type: storedType, data: stored, ...place } = row;
  const { type, data: raised } = upcast(storedType, stored, row.position);
  const key = keys.get(row.stream);
  const { data, erased, unreadable: keyFails } = decrypt(type, raised, {
    stream: row.stream,
    key,
  });
  if (keyFails) unreadable.note(row);
  const result = parseStored(type, data);
  if (!result.success) {
    throw new AppError("conflict", `event at position ${row.position} does not fit ${type}`);
  }
  const event = { ...place, ...({ type, data: result.data } as NewEvent), erased };
  return (keyFails ? { ...event, unreadable: true } : event) as Recorded;
}

function upcast(type: string, data: unknown, position: number): { type: EventType; data: unknown } {
  const raise = Object.hasOwn(upcasters, type) ? upcasters[type] : undefined;
  if (raise) return raise(data);
  if (isEventType(type)) return { type, data };
  throw new AppError("conflict", `unknown event type at position ${position}: ${type}`);
}
