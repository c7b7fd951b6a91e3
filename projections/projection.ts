// What a projection is: rows set from events, in SQL that takes many events at once.
import type postgres from "postgres";
import type { EventOf, EventType, Recorded } from "$events/mod.ts";
import type { Sql, Tx } from "$src/database.ts";

/** The table itself, or the one a rebuild is filling beside it. */
export type Table = (name: string) => postgres.Helper<string>;

type Handlers = {
  [Type in EventType]?: (tx: Tx, events: EventOf<Type>[], table: Table) => Promise<unknown>;
};

/** What an event makes stale: tags of cached answers, and public addresses that Nginx may hold. */
export type Stale = { tags: string[]; addresses: string[] };

type StaleBy = { [Type in EventType]?: (event: EventOf<Type>) => Stale };

export type Projection = {
  name: string;
  /** Raised when the tables or the handlers change: the next start rebuilds them. */
  revision: number;
  tables: string[];
  create(tx: Tx, table: Table): Promise<void>;
  handlers: Handlers;
  stale: StaleBy;
  /** Events that set columns of rows which other streams' events make: applied after those. */
  leansOnRows?: (type: EventType) => boolean;
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
 * go together, then the second ones, each wave grouped by type; what leans on rows that others make
 * waits until they are made, because an option that was added late is not there in the first wave.
 */
export async function applyEvents(
  projection: Projection,
  tx: Tx,
  batch: { events: Recorded[]; table: Table },
): Promise<void> {
  const leans = projection.leansOnRows ?? (() => false);
  const mine = batch.events.filter(({ type }) => handles(projection, type));
  const ordered = [
    ...waves(mine.filter(({ type }) => !leans(type))),
    ...waves(mine.filter(({ type }) => leans(type))),
  ];
  for (const wave of ordered) {
    const work: Promise<unknown>[] = [];
    for (const [type, events] of Map.groupBy(wave, (event) => event.type)) {
      const handler = projection.handlers[type] as Handler | undefined;
      if (handler) work.push(handler(tx, events, batch.table));
    }
    await Promise.all(work);
  }
}

type Handler = (tx: Tx, events: Recorded[], table: Table) => Promise<unknown>;

function waves(events: Recorded[]): Recorded[][] {
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
