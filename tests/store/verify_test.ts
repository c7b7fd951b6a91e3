import { assertEquals, assertThrows } from "@std/assert";
import { createHash, generateKeyPairSync } from "node:crypto";
import { describe, it } from "@std/testing/bdd";
import fc from "fast-check";
import type { Sql, Tx } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import {
  isSigned,
  newSigningKey,
  parseHead,
  parseSigningKey,
  publicKeyOf,
  signHead,
} from "$src/store/signed_head.ts";
import { readHead, readStored } from "$src/store/read.ts";
import {
  canonical,
  canonicalOfStored,
  GENESIS,
  isStorable,
  sealOf,
} from "$src/store/hash_chain.ts";
import { verifyLog } from "$src/store/verify.ts";
import { onBoth, unstopped } from "./backends.ts";
import { edited, item, newStream, one, signed, visit } from "./events.ts";

/** A log of twenty events, tampered with by a superuser with triggers off. */
async function tampered(sql: Sql, tamper: (tx: Tx) => Promise<unknown>) {
  const log = new Appender(sql);
  for (let i = 1; i <= 20; i++) {
    await log.append(one(newStream(), { events: [item(`item ${i}`, i)] }));
  }
  assertEquals((await verifyLog(sql)).ok, true);
  await unstopped(sql, tamper);
}

/** Moves events up by one, starting at the last, to make room for an inserted one. */
async function makeRoom(sql: Tx, from: number): Promise<void> {
  await sql`update events set position = -position - 1 where position >= ${from}`;
  await sql`update events set position = -position where position < 0`;
}

/** Makes all seals fit again, as an owner of the database who knows the formula can. */
async function rewriteChain(sql: Tx): Promise<void> {
  let seal = GENESIS;
  for (const row of await readStored(sql, { limit: 100 })) {
    seal = sealOf(seal, row, canonical(row.data), canonical(row.meta));
    await sql`update events set seal = ${seal} where position = ${row.position}`;
  }
  await sql`update counter set seal = ${seal},
    position = (select max(position) from events)`;
}

async function changeOne(sql: Tx, position = 7): Promise<void> {
  await sql`update events
    set data = jsonb_set(data, '{description}', '"item X"') where position = ${position}`;
}

describe("verify", () =>
  onBoth("verify", ({ test, alone }) => {
    test("finds an untouched log whole, and returns its head", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream("entry");
      await log.append(one(stream, { expected: "none", events: [signed("hello")] }));
      await log.append(one(stream, { expected: 1, events: [edited("hello again")] }));
      await log.append(one(stream, { erase: [stream], events: [visit()] }));
      assertEquals(await verifyLog(sql), { ok: true, head: await readHead(sql) });
    });

    const misfits: [string, number, (sql: Tx) => Promise<unknown>][] = [
      ["one byte of an event's data", 7, (sql) => changeOne(sql)],
      [
        "a number by less than a double can tell",
        7,
        (sql) =>
          sql`update events set data = jsonb_set(data, '{id}', '7.00000000000000000001')
          where position = 7`,
      ],
      [
        "one byte of an event's meta",
        8,
        (sql) => sql`update events set meta = '{"actor":"admin"}' where position = 8`,
      ],
      [
        "an event's type",
        9,
        (sql) => sql`update events set type = 'ItemChanged' where position = 9`,
      ],
      [
        "an event's stream",
        10,
        (sql) => sql`update events set stream = 'item-999' where position = 10`,
      ],
      ["an event's version", 11, (sql) => sql`update events set version = 2 where position = 11`],
      [
        "an event's time, by a millisecond",
        12,
        (sql) => sql`update events set at = at + interval '1 millisecond' where position = 12`,
      ],
      [
        "an event's seal",
        13,
        (sql) => sql`update events set seal = ${GENESIS} where position = 13`,
      ],
      ["the first event", 1, (sql) => changeOne(sql, 1)],
      ["the last event", 20, (sql) => changeOne(sql, 20)],
      ["one deleted event", 5, (sql) => sql`delete from events where position = 5`],
      ["the first event deleted", 1, (sql) => sql`delete from events where position = 1`],
      ["the last event deleted", 20, (sql) => sql`delete from events where position = 20`],
      [
        "one deleted event, the rest moved up",
        5,
        async (sql) => {
          await sql`delete from events where position = 5`;
          await sql`update events set position = -position where position > 5`;
          await sql`update events set position = -position - 1 where position < 0`;
          await sql`update counter set position = 19`;
        },
      ],
      [
        "two swapped events",
        6,
        async (sql) => {
          await sql`update events set position = -position where position in (6, 15)`;
          await sql`update events set position = case position when -6 then 15 else 6 end
          where position < 0`;
        },
      ],
      [
        "an inserted event",
        4,
        async (sql) => {
          await makeRoom(sql, 4);
          await sql`insert into events
          select 4, 'item-0', 1, type, data, meta, at, seal from events where position = 3`;
          await sql`update counter set position = 21`;
        },
      ],
      [
        "an event added behind the last",
        21,
        (sql) =>
          sql`insert into events
          select 21, 'item-0', 1, type, data, meta, at, seal from events where position = 20`,
      ],
      ["a cut tail", 16, (sql) => sql`delete from events where position > 15`],
      ["every event deleted", 1, (sql) => sql`delete from events`],
      ["the counter's seal", 20, (sql) => sql`update counter set seal = ${GENESIS}`],
    ];
    for (const [name, position, tamper] of misfits) {
      alone(`names position ${position}: ${name}`, async ({ sql }) => {
        await tampered(sql, tamper);
        const verdict = await verifyLog(sql);
        assertEquals(verdict.ok ? "whole" : verdict.position, position);
      });
    }

    alone("with a saved head, refuses a chain that was rewritten whole", async ({ sql }) => {
      let saved = { position: 0, seal: GENESIS };
      await tampered(sql, async (tx) => {
        saved = await readHead(tx);
        await changeOne(tx);
        await rewriteChain(tx);
      });
      assertEquals((await verifyLog(sql)).ok, true, "the rewritten chain fits by itself");
      const verdict = await verifyLog(sql, { saved });
      assertEquals(verdict.ok ? "whole" : verdict.position, 20);
    });

    alone(
      "with a saved head, refuses a log whose tail was cut, counter and all",
      async ({ sql }) => {
        let saved = { position: 0, seal: GENESIS };
        await tampered(sql, async (tx) => {
          saved = await readHead(tx);
          await tx`delete from events where position > 15`;
          await rewriteChain(tx);
        });
        assertEquals((await verifyLog(sql)).ok, true, "what is left fits by itself");
        const verdict = await verifyLog(sql, { saved });
        assertEquals(verdict.ok ? "whole" : verdict.position, 16);
      },
    );

    test("accepts a log that grew after the saved head", async ({ sql }) => {
      const log = new Appender(sql);
      await log.append(one(newStream()));
      const saved = await readHead(sql);
      await log.append(one(newStream()));
      assertEquals((await verifyLog(sql, { saved })).ok, true);
    });

    test("is not disturbed by concurrent appends", async ({ sql }) => {
      const log = new Appender(sql);
      const appends = Promise.all(Array.from({ length: 200 }, () => log.append(one(newStream()))));
      for (let i = 0; i < 5; i++) assertEquals((await verifyLog(sql)).ok, true);
      await appends;
    });
  }));

describe("the canonical form", () =>
  onBoth("the canonical form", ({ test }) => {
    test("survives jsonb for any data", async ({ sql }) => {
      const json = fc.jsonValue({ stringUnit: "grapheme", maxDepth: 4 }).filter(isStorable);
      await fc.assert(
        fc.asyncProperty(fc.array(json, { minLength: 20, maxLength: 60 }), async (values) => {
          const texts = values.map((value) => canonical({ value }));
          const rows = await sql<{ data: unknown; text: string }[]>`
          select text::jsonb as data, text::jsonb::text as text
          from unnest(${texts}::text[]) with ordinality as given(text, number)
          order by number`;
          assertEquals(rows.map(({ data }) => canonical(data)), texts);
          assertEquals(rows.map(({ text }) => canonicalOfStored(text)), texts);
        }),
        { numRuns: 100 },
      );
    });

    test("survives jsonb at the edges of numbers and names", async ({ sql }) => {
      const edges = [
        {
          n: [
            0,
            -0,
            1e21,
            1e-7,
            5e-324,
            Number.MAX_VALUE,
            0.1,
            1 / 3,
            2 ** 53,
            -1.5e300,
            123456.789,
          ],
        },
        { b: 1, a: 2, "": 3, "ä": 4, "Z": 5, "\u{1f600}": 6, "\uffff": 7, "10": 8, "9": 9 },
        JSON.parse('{"__proto__": 1, "constructor": 2, "toString": {"__proto__": []}}'),
        { 'a"b\\c\n\t\u007f\u2028': "\u0001\u001f\\u0000" },
        [[], {}, [{}], null, true, false, ""],
      ];
      for (const value of edges) {
        const text = canonical(value);
        const [row] = await sql<{ data: unknown; text: string }[]>`
        select ${text}::text::jsonb as data, ${text}::text::jsonb::text as text`;
        assertEquals(canonical(row?.data), text);
        assertEquals(canonicalOfStored(row?.text ?? ""), text);
        assertEquals(canonical(JSON.parse(text)), text);
      }
    });

    test("has a limit of depth, the same before and after JIT compilation", () => {
      const deep = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
      assertEquals(canonicalOfStored(deep(100)), deep(100));
      const found = Array.from({ length: 5000 }, () => canonicalOfStored(deep(1000)));
      assertEquals([...new Set(found)], [undefined]);
      assertEquals(canonicalOfStored(deep(101)), undefined);
      return Promise.resolve();
    });

    test("yields the seal with nothing but SHA-256", async ({ sql }) => {
      const { events: [event] } = await new Appender(sql).append(
        one("visits-/by-hand", { events: [visit('/b"y', 3)] }),
      );
      const [before] = await sql<{ seal: string }[]>`
      select seal from events where position = ${(event?.position ?? 0) - 1}`;
      const text = [
        before?.seal ?? GENESIS,
        `[${event?.position},"visits-/by-hand",1,"VisitsCounted"]`,
        event?.at.toISOString(),
        '{"count":3,"page":"/b\\"y"}',
        '{"actor":"system"}',
      ].join("\n");
      assertEquals(event?.seal, createHash("sha256").update(text).digest("hex"));
    });
  }));

describe("signed heads", () => {
  const pem = newSigningKey();
  const head = { position: 42, seal: "ab".repeat(32) };
  const at = new Date("2026-01-02T03:04:05.678Z");

  it("are read back as they were saved", () => {
    const saved = signHead(parseSigningKey(pem), head, at);
    assertEquals(parseHead(JSON.stringify(saved)), saved);
    assertEquals(saved.key, publicKeyOf(parseSigningKey(pem)));
  });

  it("are rejected when any part of them was changed", () => {
    const saved = signHead(parseSigningKey(pem), head, at);
    const other = signHead(parseSigningKey(newSigningKey()), head, at);
    const changes = [
      { position: 41 },
      { seal: "cd".repeat(32) },
      { at: new Date(0).toISOString() },
      { signature: other.signature },
      { key: other.key },
      { key: "bm90IGEga2V5" },
    ];
    for (const change of changes) {
      assertThrows(() => parseHead(JSON.stringify({ ...saved, ...change })), AppError);
    }
    assertEquals(isSigned(saved), true);
  });

  it("are rejected with a message when the text is no head", () => {
    for (const text of ["", "nonsense", "{}", "[]", "null", '{"position":1}']) {
      assertThrows(() => parseHead(text), AppError, "not a saved head");
    }
  });

  it("accept a key as PEM, as PEM on one line, and as a seed in base64", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    const der = privateKey.export({ type: "pkcs8", format: "der" });
    const text = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const seed = der.subarray(-32).toString("base64");
    const keys = [text, text.replaceAll("\n", "\\n"), seed].map(parseSigningKey);
    assertEquals(new Set(keys.map(publicKeyOf)).size, 1);
  });

  it("reject every other key without showing it", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey
      .export({ type: "pkcs8", format: "pem" }).toString();
    for (const text of ["", "secret-text", "c2hvcnQ=", rsa]) {
      const error = assertThrows(() => parseSigningKey(text), AppError, "SIGNING_KEY");
      assertEquals(text !== "" && String(error).includes(text), false);
    }
  });
});
