// Values written as array literals come back unchanged: one batch of the oddest names and texts.
import { assertEquals } from "@std/assert";
import { describe } from "@std/testing/bdd";
import fc from "fast-check";
import { Appender } from "$src/store/appender.ts";
import { textArray } from "$src/store/array_literals.ts";
import { readStream } from "$src/store/read.ts";
import { verifyLog } from "$src/store/verify.ts";
import { onBoth } from "./backends.ts";
import { item, newStream, one } from "./events.ts";

const RUNS = 100;
const SEED = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() % 1_000_000);

const awkward = [
  ...["NULL", "null", '"NULL"', "{}", "{NULL}", "{a,b}", "a,b", ",", " ", " a ", '"', '""', "\\"],
  ...['\\"', "\\\\", "\\N", "\\u0041", "'", "$1", "\t", "\n", "\r\n", "\x01", "\x7f", "\u2028"],
  ...["\ufeff", "🙂", "漢", "ß", "e\u0301", "[]", "]", "1e21", "-0", "%s"],
];

describe("array literals", () =>
  onBoth("literals", ({ test }) => {
    test("carry a batch of the oddest streams and texts unchanged", async ({ sql }) => {
      const before = newStream("odd");
      const streams = awkward.map((text) => `${before}${text}`);
      const batches: number[] = [];
      const log = new Appender(sql, { onBatch: ({ appends }) => batches.push(appends) });
      for (const version of [1, 2]) {
        await Promise.all(streams.map((stream, i) =>
          log.append({
            ...one(stream, { expected: version - 1, events: [item(awkward[i] ?? "")] }),
            meta: { actor: "system", request: awkward[i] },
          })
        ));
      }
      assertEquals(batches, [awkward.length, awkward.length], "each round is one batch");
      for (const [i, stream] of streams.entries()) {
        const read = await readStream(sql, stream);
        assertEquals(read.map(({ version }) => version), [1, 2], stream);
        assertEquals(read.map(({ stream }) => stream), [stream, stream]);
        for (const { data, meta } of read) {
          assertEquals([data, meta.request], [item(awkward[i] ?? "").data, awkward[i]]);
        }
      }
      assertEquals((await verifyLog(sql)).ok, true);
    });

    test("give the database the same list for any texts", async ({ sql }) => {
      const any = fc.string({ unit: "binary" }).filter((text) =>
        text.isWellFormed() && !text.includes("\0")
      );
      const texts = fc.array(fc.oneof(any, fc.constantFrom("", ...awkward)), { maxLength: 20 });
      const property = fc.asyncProperty(texts, async (list) => {
        const [row] = await sql<{ list: string[] }[]>`
          select to_jsonb(${textArray(list)}::text[]) as list`;
        assertEquals(row?.list, list);
      });
      await fc.assert(property, { numRuns: RUNS, seed: SEED });
    });
  }));
