import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe } from "@std/testing/bdd";
import type { Sql } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import { exportKeys } from "$src/store/key_export.ts";
import { readAll, readHead, readStored, readStream } from "$src/store/read.ts";
import { GENESIS } from "$src/store/hash_chain.ts";
import { exportEvents, importEvents } from "$src/store/export_import.ts";
import { verifyLog } from "$src/store/verify.ts";
import { empty, onBoth } from "./backends.ts";
import { chain, type Line, linesOf, sealAgain } from "./chain.ts";
import { edited, item, newStream, one, signed, visit } from "./events.ts";

async function exported(sql: Sql, range = {}): Promise<string[]> {
  let text = "";
  for await (const page of exportEvents(sql, range)) text += page.text;
  return text.split("\n").slice(0, -1);
}

async function keysOf(sql: Sql): Promise<string[]> {
  let text = "";
  for await (const part of exportKeys(sql)) text += part;
  return text.split("\n").slice(0, -1);
}

async function refusal(work: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => work, AppError)).message;
}

async function isUntouched(sql: Sql): Promise<void> {
  assertEquals(await readHead(sql), { position: 0, seal: GENESIS });
  assertEquals((await sql`select position from events limit 1`).length, 0);
  assertEquals((await sql`select subject from keys limit 1`).length, 0);
}

const awkward = ["tab\tline\nback\\slash\r", "\\N", "\\.", '"quoted"', "🙂 漢 \u2028", "\\u0041"];

describe("export and import", () =>
  onBoth("export and import", ({ alone }) => {
    alone("keep positions, times, seals and every text", async (log) => {
      const { sql } = log;
      const appender = new Appender(sql);
      for (const text of awkward) {
        await appender.append(one(newStream("item"), { events: [item(text)] }));
        const entry = newStream("entry");
        await appender.append(one(entry, { expected: "none", events: [signed(text)] }));
        await appender.append(one(entry, { expected: 1, events: [edited(text)] }));
      }
      await appender.append(one("erased-1", { expected: "none", events: [signed("gone")] }));
      await appender.append(one("erased-1", { erase: ["erased-1"], events: [visit()] }));
      const before = { stored: [...await readStored(sql, {})], head: await readHead(sql) };
      const read = await Array.fromAsync(readAll(sql));
      const [events, keys] = [await exported(sql), await keysOf(sql)];
      await empty(sql);

      const { position, seal } = before.head;
      const options = { keys: linesOf(keys) };
      assertEquals(await importEvents(log, linesOf(events), options), { events: position, seal });
      assertEquals([...await readStored(sql, {})], before.stored);
      assertEquals(await Array.fromAsync(readAll(sql)), read);
      assertEquals(await verifyLog(sql), { ok: true, head: before.head });
      assertEquals(await exported(sql), events);

      const next = await new Appender(sql).append(one("item-1", { events: [visit()] }));
      assertEquals(next.first, position + 1);
      assertEquals((await verifyLog(sql)).ok, true);
    });

    alone("without the keys, personal fields come back blank", async (log) => {
      await new Appender(log.sql).append(
        one("entry-7", { expected: "none", events: [signed("secret")] }),
      );
      const events = await exported(log.sql);
      assert(!events.join().includes("secret"));
      await empty(log.sql);
      await importEvents(log, linesOf(events));
      assertEquals((await readStream(log.sql, "entry-7"))[0]?.erased, true);
    });

    alone("narrow what is exported by range, stream and type", async ({ sql }) => {
      const appender = new Appender(sql);
      await appender.append(one("a-1", { events: [visit(), item("x"), visit()] }));
      await appender.append(one("b-1", { events: [visit(), item("y")] }));
      const positions = async (range: object) =>
        (await exported(sql, range)).map((line) => JSON.parse(line).position);
      assertEquals(await positions({ after: 1, until: 4 }), [2, 3, 4]);
      assertEquals(await positions({ stream: "b-1" }), [4, 5]);
      assertEquals(await positions({ types: ["ItemCreated"] }), [2, 5]);
    });

    alone("advance the sequences of ids", async (log) => {
      const lines = sealAgain([...chain(3)].map((line, i) => ({
        ...line,
        stream: ["entry-41", "poll-7", "ballot-7-x"][i] ?? "",
        version: 1,
      })));
      await importEvents(log, linesOf(lines));
      const [row] = await log.sql<{ entry: number; poll: number }[]>`
      select nextval('entry_ids') as entry, nextval('poll_ids') as poll`;
      assertEquals(row && { ...row }, { entry: 42, poll: 8 });
    });

    alone("accept an empty file, blank lines and Windows line ends", async (log) => {
      assertEquals((await importEvents(log, linesOf([]))).events, 0);
      const lines = [...chain(3)].map((line) => `${JSON.stringify(line)}\r`);
      assertEquals((await importEvents(log, linesOf(["", ...lines, " "]))).events, 3);
    });

    alone("refuse a log that holds events, and leave it as it is", async (log) => {
      await importEvents(log, linesOf(chain(2)));
      const said = await refusal(importEvents(log, linesOf(chain(5))));
      assert(said.includes("without events"), said);
      assertEquals((await readHead(log.sql)).position, 2);
    });

    const at3 = (change: Partial<Line>) => (lines: Line[]) =>
      lines.map((line) => line.position === 3 ? { ...line, ...change } : line);
    const sealedAt3 = (change: Partial<Line>) => (lines: Line[]) => sealAgain(at3(change)(lines));
    const broken: [string, string, (lines: Line[]) => (Line | string)[]][] = [
      ["what is no JSON", "not JSON", (lines) => lines.with(2, "{oops" as unknown as Line)],
      ["half a line", "not JSON", (lines) => {
        const half = JSON.stringify(lines[2]).slice(0, 50);
        return [...lines.slice(0, 2), half];
      }],
      [
        "JSON that is no event",
        "expected object",
        (lines) => lines.with(2, "[]" as unknown as Line),
      ],
      ["an unknown field", "extra", at3({ extra: 1 } as Partial<Line>)],
      ["one changed byte", "seal does not fit", at3({ data: { page: "/x", count: 4 } })],
      ["a foreign seal", "seal does not fit", at3({ seal: GENESIS })],
      ["a removed line", "position 4 after 2", (lines) => lines.toSpliced(2, 1)],
      ["a repeated line", "position 2 after 2", (lines) => lines.toSpliced(2, 0, lines[1] as Line)],
      ["an unknown event type", "unknown event type", sealedAt3({ type: "Nothing" })],
      ["data that its schema refuses", "count", sealedAt3({ data: { page: "/", count: -1 } })],
      ["a version out of turn", "version 7", sealedAt3({ version: 7 })],
      ["text with NUL", "NUL", sealedAt3({ data: { page: "a\0", count: 1 } })],
      ["half a surrogate pair", "surrogate", sealedAt3({ data: { page: "\ud800", count: 1 } })],
      ["a time that is none", "at", at3({ at: "yesterday" })],
      ["meta without an actor", "meta", at3({ meta: {} as Line["meta"] })],
    ];
    for (const [name, said, breakIt] of broken) {
      alone(`name line 3 for ${name}, and write nothing`, async (log) => {
        const lines = breakIt([...chain(5)]);
        const message = await refusal(importEvents(log, linesOf(lines)));
        assert(message.startsWith("line 3 refused: ") && message.includes(said), message);
        await isUntouched(log.sql);
      });
    }

    alone("write nothing when a line breaks after many good ones", async (log) => {
      const lines: (Line | string)[] = [...chain(20_000)];
      const message = await refusal(importEvents(log, linesOf([...lines, "broken"])));
      assert(message.startsWith("line 20001 refused"), message);
      await isUntouched(log.sql);
      assertEquals((await importEvents(log, linesOf(chain(20_000)))).events, 20_000);
    });

    alone("write nothing when the source itself fails", async (log) => {
      async function* failing() {
        yield* linesOf(chain(5000));
        throw new Error("the disk is gone");
      }
      await assertRejects(() => importEvents(log, failing()), Error, "the disk is gone");
      await isUntouched(log.sql);
    });

    alone("write neither events nor keys when a line of the key file is broken", async (log) => {
      const keys = linesOf(['{"subject":"entry-1","key":"AAAA"}', '{"subject":"entry-2"}']);
      const message = await refusal(importEvents(log, linesOf(chain(3)), { keys }));
      assert(message.includes("line 2 of the key file"), message);
      await isUntouched(log.sql);
    });

    alone("refuse a gap in versions that no single line shows", async (log) => {
      // More streams than the import remembers; then one of the first skips a version.
      const lines = [...chain(60_001, 60_000)];
      const last = lines.at(-1);
      const forged = sealAgain([...lines.slice(0, -1), { ...last as Line, version: 3 }]);
      const message = await refusal(importEvents(log, linesOf(forged)));
      assert(message.includes("visits-/page/0"), message);
      await isUntouched(log.sql);
    });
  }));
