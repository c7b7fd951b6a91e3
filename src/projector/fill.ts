// Fills the tables of a rebuild from the log, page by page: each page and its position in one
// transaction, the next page read while this one is written.
import type { EventType, Recorded } from "$events/mod.ts";
import { upcasters } from "$events/mod.ts";
import { applyEvents, nextTables, type Projection } from "$projections/projection.ts";
import { inTransaction, type Sql, type Tx } from "../connections/postgres.ts";
import { isPoison } from "./projector.ts";
import { readEvents } from "../store/read.ts";

const PAGE = 2000;
/** Positions in a page for each event that is read, where the database applies the rest by itself. */
const SPAN = 10;

export type FillOptions = {
  from: number;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
  /** Events read at once; at most a tenth of that is left to apply under the lock. */
  page?: number;
};

type PositionRange = { after: number; until: number };
type LogPage = PositionRange & { events: Recorded[] };

/** Returns the position reached: so near the head that the rest can be applied under the lock. */
export async function fillTables(
  sql: Sql,
  projection: Projection,
  options: FillOptions,
): Promise<number> {
  const limit = options.page ?? PAGE;
  // Few enough that appends do not notice them being applied under the lock.
  const near = limit / 10;
  let { from } = options;
  let head = await headOf(sql);
  const readFrom = (after: number) => {
    const read = readPage(sql, projection, { after, until: head, limit });
    // Awaited in its turn; until then a failure must not count as an unhandled rejection.
    read.catch(() => {});
    return read;
  };
  let upcoming = readFrom(from);
  while (head - from > near) {
    options.signal?.throwIfAborted();
    const page = await upcoming;
    if (page.until === head) head = await headOf(sql);
    upcoming = readFrom(page.until);
    await writePage(sql, projection, page).catch(async (error) => {
      await upcoming.catch(() => undefined);
      throw error;
    });
    from = page.until;
    options.onProgress?.(from, head);
  }
  await upcoming;
  return from;
}

async function readPage(
  sql: Sql,
  projection: Projection,
  { after, until, limit }: PositionRange & { limit: number },
): Promise<LogPage> {
  const straight = straightOf(projection);
  const end = straight ? Math.min(until, after + limit * SPAN) : until;
  const types = typesOf(projection).filter((type) =>
    straight?.firstInStream || type !== straight?.type
  );
  if (types.length === 0) return { after, until: end, events: [] };
  const later = straight?.firstInStream ? straight.type : undefined;
  const events = await readEvents(sql, { after, until: end, types, later, limit });
  return { after, until: events.length < limit ? end : events.at(-1)?.position ?? end, events };
}

async function writePage(sql: Sql, projection: Projection, page: LogPage): Promise<void> {
  try {
    await inTransaction(sql, async (tx) => {
      await applyPage(tx, projection, page);
      await setReached(tx, projection, page.until);
    });
  } catch (error) {
    if (!straightOf(projection) || !isPoison(error)) throw error;
    // An event of the page is malformed: the handlers decide what follows from that.
    await inTransaction(sql, async (tx) => {
      await applyThrough(tx, projection, page);
      await setReached(tx, projection, page.until);
    });
  }
}

async function applyPage(tx: Tx, projection: Projection, page: LogPage): Promise<void> {
  const { events, after, until } = page;
  const straight = straightOf(projection);
  const table = nextTables(tx);
  if (!straight) return await applyEvents(projection, tx, { events, table });
  const { type, firstInStream } = straight;
  const ofPage = tx`
    events where type = ${type} and position > ${after} and position <= ${until}
      ${firstInStream ? tx`and version = 1` : tx``}`;
  const set = () => straight.set(tx, ofPage, table);
  await applyEvents(projection, tx, { events, table, straight: { type, set } });
}

/** Applies a range by the handlers alone, in pages of one transaction. */
export async function applyThrough(
  tx: Tx,
  projection: Projection,
  range: PositionRange,
): Promise<void> {
  const types = typesOf(projection);
  let { after } = range;
  while (true) {
    const events = await readEvents(tx, { after, until: range.until, types, limit: PAGE });
    await applyEvents(projection, tx, { events, table: nextTables(tx) });
    if (events.length < PAGE) return;
    after = events.at(-1)?.position ?? range.until;
  }
}

/** Only the code can read events stored in an older form, so their type is not bulk loaded. */
function straightOf({ bulkLoad }: Projection): Projection["bulkLoad"] {
  return bulkLoad && !Object.hasOwn(upcasters, bulkLoad.type) ? bulkLoad : undefined;
}

function typesOf({ handlers }: Projection): EventType[] {
  return Object.keys(handlers) as EventType[];
}

/** Does not wait for the disk: the position is in the same transaction as its rows. */
async function setReached(tx: Tx, { name }: Projection, position: number): Promise<void> {
  await tx`set local synchronous_commit = off`;
  await tx`update read.projections set rebuild = ${position} where name = ${name}`;
}

async function headOf(sql: Sql): Promise<number> {
  const [row] = await sql<{ position: number }[]>`select position from counter`;
  return row?.position ?? 0;
}
