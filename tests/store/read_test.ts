import { assertEquals, assertRejects } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { AppError } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import { pagesOf, readAll, readEvents, readHead, readStream } from "$src/store/read.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { onBoth, unstopped } from "./backends.ts";
import { item, meta, newStream, one, signed, visit } from "./events.ts";

/**
 * Twelve events, alternating between three streams, every third of another type; returns the
 * first position.
 */
async function twelve(sql: Sql): Promise<{ first: number; streams: string[] }> {
  const streams = [newStream(), newStream(), newStream("item")];
  const log = new Appender(sql);
  const { first } = await log.append({
    streams: Array.from({ length: 12 }, (_, i) => ({
      stream: streams[i % 3] ?? "",
      expected: "any" as const,
      events: [i % 3 === 2 ? item(`${i}`) : visit("/", i + 1)],
    })),
    meta,
  });
  return { first, streams };
}

describe("reading the log", () =>
  onBoth("read", ({ test, alone, realOnly }) => {
    test("returns a stream from its first version, up to a position if one is given", async ({ sql }) => {
      const { first, streams } = await twelve(sql);
      const [stream = ""] = streams;
      const all = await readStream(sql, stream);
      assertEquals(all.map(({ version }) => version), [1, 2, 3, 4]);
      assertEquals(all.map(({ position }) => position - first), [0, 3, 6, 9]);
      assertEquals(await readStream(sql, stream, first + 6), all.slice(0, 3));
      assertEquals(await readStream(sql, "nobody-1"), []);
    });

    test("filters by positions, streams and types, alone and combined", async ({ sql }) => {
      const { first, streams } = await twelve(sql);
      const at = async (range: Parameters<typeof readEvents>[1]) =>
        (await readEvents(sql, { after: first - 1, ...range })).map((e) => e.position - first);
      assertEquals(await at({ until: first + 2 }), [0, 1, 2]);
      assertEquals(await at({ after: first + 9 }), [10, 11]);
      assertEquals(await at({ types: ["ItemCreated"] }), [2, 5, 8, 11]);
      assertEquals(await at({ types: ["ItemCreated", "VisitsCounted"], limit: 3 }), [0, 1, 2]);
      assertEquals(await at({ types: [] }), []);
      assertEquals(await at({ stream: streams[1], after: first + 4 }), [7, 10]);
      assertEquals(await at({ stream: streams[1], types: ["ItemCreated"] }), []);
      assertEquals(await at({ after: first + 100 }), []);
    });

    test("returns pages without a gap or a repeat, whatever their size", async ({ sql }) => {
      const { first } = await twelve(sql);
      for (const limit of [1, 5, 12, 100]) {
        const sizes: number[] = [];
        const positions: number[] = [];
        for await (const rows of pagesOf(sql, { after: first - 1, until: first + 11, limit })) {
          sizes.push(rows.length);
          positions.push(...rows.map(({ position }) => position - first));
        }
        assertEquals(positions, Array.from({ length: 12 }, (_, i) => i));
        assertEquals(Math.max(...sizes), Math.min(limit, 12));
      }
    });

    test("readAll() includes events that are appended while it reads", async ({ sql }) => {
      const { first } = await twelve(sql);
      const log = new Appender(sql);
      const seen: number[] = [];
      for await (const { position } of readAll(sql, { after: first - 1, limit: 5 })) {
        seen.push(position - first);
        if (seen.length === 8) await log.append(one(newStream()));
      }
      assertEquals(seen, Array.from({ length: 13 }, (_, i) => i));
    });

    test("returns the last position and its seal as the head", async ({ sql }) => {
      const { events } = await new Appender(sql).append(one(newStream()));
      const { position, seal } = await readHead(sql);
      assertEquals({ position, seal }, {
        position: events[0]?.position ?? 0,
        seal: events[0]?.seal ?? "",
      });
    });

    alone("names the position of an event that does not fit its schema", async ({ sql }) => {
      await new Appender(sql).append(one(newStream()));
      for (
        const [column, value, said] of [["type", "Gone", "Gone"], ["data", "{}", "position 1"]]
      ) {
        await unstopped(sql, (tx) => tx`update events set ${tx({ [column ?? ""]: value })}`);
        const error = await assertRejects(() => readEvents(sql, {}), AppError);
        assertEquals(error.message.includes(said ?? ""), true, error.message);
        await unstopped(sql, (tx) => tx`update events set type = 'VisitsCounted'`);
      }
    });

    realOnly("one session: it is never idle in a transaction while it answers").test(
      "leaves no transaction open between pages",
      async (backend) => {
        const { first } = await twelve(backend.sql);
        await using other = await backend.another();
        for await (const _rows of pagesOf(backend.sql, { after: first - 1, limit: 4 })) {
          const open = await other.sql`
          select pid from pg_stat_activity
          where datname = current_database() and xact_start is not null
            and pid <> pg_backend_pid()`;
          assertEquals(open.length, 0);
        }
      },
    );

    test("decrypts personal fields in every page", async ({ sql }) => {
      const log = new Appender(sql);
      const { position: after } = await readHead(sql);
      const texts = ["one", "two", "three"];
      for (const text of texts) {
        await log.append(one(newStream("entry"), { expected: "none", events: [signed(text)] }));
      }
      const read: unknown[] = [];
      for await (const { data } of readAll(sql, { after, limit: 2 })) read.push(data);
      assertEquals(read, texts.map((text) => signed(text).data));
    });
  }));
