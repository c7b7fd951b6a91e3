// A projection sets rows from events, in SQL that takes many events at once.
import type postgres from "postgres";
import type { EventOf, EventType, Recorded } from "$events/mod.ts";
import type { Sql, Tx } from "$src/connections/postgres.ts";

/** The live table, or the one that a rebuild is filling beside it. */
export type Table = (name: string) => postgres.Helper<string>;

type Handlers = {
  [Type in EventType]?: (tx: Tx, events: EventOf<Type>[], table: Table) => Promise<unknown>;
};

/**
 * The parts of the caches that an event makes stale: tags of cached values, and public addresses
 * that Nginx may hold.
 */
export type Stale = { tags: string[]; addresses: string[] };

type StaleBy = { [Type in EventType]?: (event: EventOf<Type>) => Stale };

/** Part of a statement: the events of a page of the log. */
export type LogPage = postgres.PendingQuery<postgres.Row[]>;

/**
 * Rows that the database sets during a rebuild by itself, straight from the log. They are those
 * that the handler of this type sets; an event whose data the schema would reject must fail the
 * statement, and the handlers then apply its page.
 */
export type BulkLoad = {
  /** Without personal fields. */
  type: EventType;
  /** Only events that open their stream, so that no event of the stream comes before them. */
  firstInStream: boolean;
  set(tx: Tx, page: LogPage, table: Table): Promise<unknown>;
};

export type Projection = {
  name: string;
  /** Raise it when the tables or the handlers change: the next start rebuilds them. */
  revision: number;
  tables: string[];
  create(tx: Tx, table: Table): Promise<void>;
  handlers: Handlers;
  bulkLoad?: BulkLoad;
  stale: StaleBy;
  /**
   * Whether events of a type set columns of rows which other streams' events make: applied after
   * those.
   */
  dependsOnRows?: (type: EventType) => boolean;
};

export function liveTables(sql: Sql | Tx): Table {
  return (name) => sql(`read.${name}`);
}

export function nextTables(sql: Sql | Tx): Table {
  return (name) => sql(`read.${name}_next`);
}

export function handles(projection: Projection, type: EventType): boolean {
  return projection.handlers[type] !== undefined;
}

/**
 * Applies a batch: in order within a stream, many streams at once. The first events of all streams
 * go together, then the second ones, each wave grouped by type. Events that depend on rows of other
 * streams wait until those exist, because an option that was added late is not there in the first
 * wave.
 */
export async function applyEvents(
  projection: Projection,
  tx: Tx,
  batch: Batch,
): Promise<void> {
  const leans = projection.dependsOnRows ?? (() => false);
  const mine = batch.events.filter(({ type }) => handles(projection, type));
  for (const leaning of [false, true]) {
    const straight = batch.straight && leans(batch.straight.type) === leaning;
    if (straight) await batch.straight?.set();
    for (const wave of generations(mine.filter(({ type }) => leans(type) === leaning))) {
      await applyWave(projection, tx, { ...batch, events: wave });
    }
  }
}

type Batch = {
  events: Recorded[];
  table: Table;
  /** The bulk load of the page, in its place: before the later events of the same streams. */
  straight?: { type: EventType; set(): Promise<unknown> };
};

async function applyWave(projection: Projection, tx: Tx, wave: Batch): Promise<void> {
  const work: Promise<unknown>[] = [];
  for (const [type, events] of Map.groupBy(wave.events, (event) => event.type)) {
    const handler = projection.handlers[type] as Handler | undefined;
    if (handler) work.push(handler(tx, events, wave.table));
  }
  await Promise.all(work);
}

type Handler = (tx: Tx, events: Recorded[], table: Table) => Promise<unknown>;

function generations(events: Recorded[]): Recorded[][] {
  const depth = new Map<string, number>();
  const found: Recorded[][] = [];
  for (const event of events) {
    const wave = depth.get(event.stream) ?? 0;
    depth.set(event.stream, wave + 1);
    (found[wave] ??= []).push(event);
  }
  return found;
}

export function staleBy(projection: Projection, event: Recorded): Stale | undefined {
  const stale = projection.stale[event.type] as ((event: Recorded) => Stale) | undefined;
  return stale?.(event);
}
