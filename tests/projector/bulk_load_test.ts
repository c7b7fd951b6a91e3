// The bulk load of a rebuild in SQL: it accepts only events that fit their schemas, leaves the rest of a
// page to the handlers, and never writes a row that the handlers would write otherwise.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import fc from "fast-check";
import { type EventType, type NewEvent, personal, type Recorded, schemas } from "$events/mod.ts";
import { projections } from "$projections/mod.ts";
import { items } from "$projections/items.ts";
import {
  applyEvents,
  type BulkLoad,
  liveTables,
  type Projection,
} from "$projections/projection.ts";
import { polls } from "$projections/polls.ts";
import type { Tx } from "$src/connections/postgres.ts";
import { checkReplay, replay } from "$src/projector/replay.ts";
import { isPoison } from "$src/projector/projector.ts";
import { rounds } from "../support/rounds.ts";
import { emptyLog, openLog, type ProjectedLog, readTables } from "../projections/log.ts";

const RUNS = rounds(300, 5000);
const SEED = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() % 1_000_000);
const meta = { actor: "system" } as const;

type Data = Record<string, unknown>;

/** Valid data, and the stream that it opens. */
function wholeOf(type: EventType): { data: Data; stream: (data: Data) => string } {
  switch (type) {
    case "ItemCreated": {
      const data = { id: 7, name: 'a "name"', description: "two\nlines" };
      return { data, stream: ({ id }) => `item-${id}` };
    }
    case "VisitsCounted":
      return { data: { page: "/", count: 3 }, stream: ({ page }) => `visits-${page}` };
    case "VoteCast": {
      const data = { poll: 1, voter: "v1", options: ["a"] };
      return { data, stream: ({ poll, voter }) => `ballot-${poll}-${voter}` };
    }
  }
  throw new Error(`say here what a whole one is: ${type}`);
}

const ODD: readonly unknown[] = [
  ...[null, true, "", "7", "1.0", "a,b", 0, -1, 1.5, 1e9, 3e9, 2 ** 53, 2 ** 60, 1e30],
  ...[[], ["a"], ["a", "b"], ["a,b", ""], ['"', "\\", "{}"], ["a", 5], [null], [["a"]]],
  ...[["a", ["b"]], [["a"], "b"], [[]], {}, { $enc: "x" }],
];

/** Fields that a later version may add. */
const MORE = ["shown", "more"];

const oddity = fc.oneof(
  fc.constantFrom(...ODD),
  fc.string({ unit: "binary" }).filter((text) => text.isWellFormed() && !text.includes("\0")),
  fc.array(fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0"))),
);

/** Valid data with up to two fields changed, added or removed. */
function mangled(data: Data): fc.Arbitrary<unknown> {
  const field = fc.constantFrom(...Object.keys(data), ...MORE);
  const change = fc.record({ field, value: fc.oneof(oddity, fc.constant(undefined)) });
  const changed = fc.array(change, { maxLength: 2 }).map((changes) =>
    JSON.parse(JSON.stringify({
      ...data,
      ...Object.fromEntries(changes.map(({ field, value }) => [field, value])),
    }))
  );
  return fc.oneof({ weight: 9, arbitrary: changed }, { weight: 1, arbitrary: oddity });
}

let log: ProjectedLog;
before(async () => {
  log = await openLog();
});
after(async () => await log[Symbol.asyncDispose]());

const undone = new Error("undone");

type Row = Record<string, unknown>;

/** The rows that one event adds to its projection's tables, or nothing if it is refused; rolled back. */
async function rowsAfter(
  { tables }: Projection,
  work: (tx: Tx) => Promise<unknown>,
): Promise<Row[][] | undefined> {
  const found: Row[][] = [];
  try {
    await log.sql.begin(async (tx) => {
      await work(tx);
      for (const table of tables) {
        found.push(await tx`select to_jsonb(t) as row from ${liveTables(tx)(table)} t order by 1`);
      }
      throw undone;
    });
  } catch (error) {
    if (error === undone) return found;
    assert(isPoison(error), String(error));
  }
}

const place = { position: 1, version: 1, seal: "", at: new Date(0), meta };

function straightRows(projection: Projection, stream: string, data: unknown) {
  return rowsAfter(projection, async (tx) => {
    const page = tx`(
      select ${place.version}::bigint as version, ${place.position}::bigint as position,
        ${stream}::text as stream, ${JSON.stringify(data)}::text::jsonb as data,
        ${place.at}::timestamptz(3) as at, ${place.seal} as seal) page`;
    await projection.bulkLoad?.set(tx, page, liveTables(tx));
  });
}

function handledRows(projection: Projection, stream: string, event: NewEvent) {
  const events = [{ ...place, ...event, stream, erased: false } as Recorded];
  return rowsAfter(
    projection,
    (tx) => applyEvents(projection, tx, { events, table: liveTables(tx) }),
  );
}

async function append(stream: string, ...events: NewEvent[]): Promise<void> {
  await log.appender.append({ streams: [{ stream, expected: "any", events }], meta });
}

function item(id: number): NewEvent {
  return { type: "ItemCreated", data: { id, name: `item ${id}`, description: "" } };
}

/** Page sizes: so small that next to nothing is left for the swap, and so large that all fits one page. */
const page = 10;

/** How many items the handler was asked to create. */
function watched(projection: Projection): { projection: Projection; handled: () => number } {
  const { ItemCreated: handler, ...others } = projection.handlers;
  let handled = 0;
  const ItemCreated: typeof handler = async (tx, events, table) => {
    handled += events.length;
    await handler?.(tx, events, table);
  };
  return {
    projection: { ...projection, handlers: { ...others, ItemCreated } },
    handled: () => handled,
  };
}

/** Bypasses the appender, which would refuse the event. */
async function insertForeign(stream: string, type: EventType, data: Data): Promise<void> {
  await log.sql`
    with head as (update counter set position = position + 1 returning position)
    insert into events (position, stream, version, type, data, meta, at, seal)
    select position, ${stream}, 1, ${type}, ${JSON.stringify(data)}::text::jsonb, '{}', now(), ''
    from head`;
}

describe("bulk load", () => {
  for (const projection of projections) {
    const { bulkLoad } = projection;
    if (!bulkLoad) continue;
    const { type, firstInStream } = bulkLoad;
    const { data: whole, stream: streamOf } = wholeOf(type);

    it(`of ${type}: writes the handler's rows, and nothing that the schema refuses`, async () => {
      assertEquals(personal[type], []);
      assert(await straightRows(projection, streamOf(whole), whole), "a whole one is taken");
      const seen = { refused: 0, taken: 0 };
      const property = fc.asyncProperty(mangled(whole), async (data) => {
        const stream = streamOf((data ?? {}) as Data);
        const rows = await straightRows(projection, stream, data);
        if (rows === undefined) return void seen.refused++;
        const parsed = schemas[type].safeParse(data);
        assert(parsed.success, "its schema refuses it");
        seen.taken++;
        const event = { type, data: parsed.data } as NewEvent;
        assertEquals(rows, await handledRows(projection, stream, event));
      });
      // Each value in each field, whatever the seed.
      const examples = [...Object.keys(whole), ...MORE].flatMap((field) =>
        ODD.map((value): [unknown] => [{ ...whole, [field]: value }])
      );
      await fc.assert(property, { numRuns: RUNS + examples.length, seed: SEED, examples });
      assert(Math.min(seen.refused, seen.taken) > RUNS / 20, JSON.stringify(seen));
    });

    if (!firstInStream) continue;
    it(`of ${type}: accepts an event in its own stream only`, async () => {
      assertEquals(await straightRows(projection, "elsewhere-1", whole), undefined);
    });
  }

  it("does not call the handlers", async () => {
    await emptyLog(log.sql);
    for (let id = 1; id <= 50; id++) await append(`item-${id}`, item(id));
    const before = await readTables(log.sql);
    const seen = watched(items);
    await replay(log.sql, seen.projection, { page });
    assertEquals(seen.handled(), 0);
    assertEquals(await readTables(log.sql), before);
  });

  it("leaves a page with any invalid event to the handlers", async () => {
    await emptyLog(log.sql);
    for (let id = 1; id <= 50; id++) await append(`item-${id}`, item(id));
    // Valid by its schema, but in another stream.
    await insertForeign("elsewhere-1", "ItemCreated", { id: 51, name: "odd", description: "" });
    const seen = watched(items);
    await replay(log.sql, seen.projection, { page });
    assertEquals(seen.handled(), 51);
    const rows = await log.sql`select from read.items`;
    assertEquals(rows.length, 51);
    await insertForeign("item-52", "ItemCreated", { id: 52, name: 5, description: "" });
    const error: Error = await assertRejects(() => replay(log.sql, items, { page }), Error);
    assert(error.message.includes("does not fit ItemCreated"), error.message);
    await log.sql`update read.projections set rebuild = null where name = 'items'`;
  });

  it("that differs from the handlers is detected by replay --check", async () => {
    await emptyLog(log.sql);
    const options = [{ id: "a", text: "A" }, { id: "b", text: "B" }];
    const facts = { question: "?", options, choice: "single" as const, results: "always" as const };
    await append("poll-1", { type: "PollOpened", data: { id: 1, ...facts, closes_at: null } });
    for (let n = 0; n < 20; n++) {
      const data = { poll: 1, voter: `v${n}`, options: ["a"] };
      await append(`ballot-1-v${n}`, { type: "VoteCast", data });
    }
    assertEquals(await checkReplay(log.sql, polls, { page }), []);
    const set: BulkLoad["set"] = async (tx, page, table) => {
      await polls.bulkLoad?.set(tx, page, table);
      await tx`update ${table("polls")} set voters = voters + 1`;
    };
    const wrong: Projection = {
      ...polls,
      bulkLoad: { type: "VoteCast", firstInStream: true, set },
    };
    const found = await checkReplay(log.sql, wrong, { page });
    assertEquals(found.map(({ table, only }) => `${table} ${only}`).sort(), [
      "polls live",
      "polls replayed",
    ]);
  });
});
