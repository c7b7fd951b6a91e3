// A damaged key costs the text it encrypts and nothing else.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe } from "@std/testing/bdd";
import type { Sql } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import { readEvents, readStream, stillUnreadable } from "$src/store/read.ts";
import { verifyLog } from "$src/store/verify.ts";
import { onBoth } from "./backends.ts";
import { edited, one, signed, visit } from "./events.ts";

const damages: Record<string, (key: Uint8Array) => Uint8Array> = {
  "a changed bit": (key) => key.with(7, (key[7] ?? 0) ^ 1),
  "another's key": (key) => key.map((_, i) => i),
  "a key cut short": (key) => key.subarray(0, 20),
  "a key too long": (key) => Uint8Array.from([...key, 1]),
  "no byte at all": () => new Uint8Array(),
};

async function keyOf(sql: Sql, subject: string): Promise<Uint8Array> {
  const [row] = await sql<{ key: Uint8Array }[]>`select key from keys where subject = ${subject}`;
  return Uint8Array.from(row?.key ?? []);
}

async function setKey(sql: Sql, subject: string, key: Uint8Array): Promise<void> {
  await sql`
    update keys set key = decode(${Buffer.from(key).toString("hex")}, 'hex')
    where subject = ${subject}`;
}

describe("a damaged key", () =>
  onBoth("a damaged key", ({ alone }) => {
    for (const [name, damage] of Object.entries(damages)) {
      alone(`${name}: its text is blank, the others are read, and verify names it`, async (log) => {
        const { sql } = log;
        const appender = new Appender(sql);
        for (const id of [1, 2, 3]) {
          const events = [signed(`words of ${id}`, id)];
          await appender.append(one(`entry-${id}`, { expected: "none", events }));
        }
        await appender.append(one("entry-2", { expected: 1, events: [edited("later words", 2)] }));
        const whole = await readEvents(sql, {});
        const key = await keyOf(sql, "entry-2");
        await setKey(sql, "entry-2", damage(key));

        const events = await readEvents(sql, {});
        const messages = events.map(({ data }) => "message" in data && data.message);
        assertEquals(messages, ["words of 1", "", "words of 3", ""]);
        assertEquals(events.map(({ erased }) => erased), [false, true, false, true]);
        assertEquals(events.map((event) => event.unreadable), [undefined, true, undefined, true]);
        assertEquals(await stillUnreadable(sql), ["entry-2"]);
        const verdict = await verifyLog(sql);
        assertEquals(verdict.ok, true, "its seals fit all the same");
        assertEquals(verdict.ok && verdict.unreadable, [
          { position: 2, subject: "entry-2" },
          { position: 4, subject: "entry-2" },
        ]);

        await setKey(sql, "entry-2", key);
        assertEquals([...await readEvents(sql, {})], [...whole], "brought back, it is read again");
        assertEquals(await stillUnreadable(sql), []);
        assertEquals(Object.keys(await verifyLog(sql)), ["ok", "head"]);
      });
    }

    alone("of the wrong length encrypts nothing more, and can be erased", async ({ sql }) => {
      const appender = new Appender(sql);
      await appender.append(one("entry-1", { expected: "none", events: [signed("words")] }));
      await setKey(sql, "entry-1", new Uint8Array(3));
      const adding = () => appender.append(one("entry-1", { events: [edited("more")] }));
      const error = await assertRejects(adding, AppError);
      assert(error.message.includes("damaged") && error.message.includes("entry-1"), error.message);
      await readStream(sql, "entry-1");
      assertEquals(await stillUnreadable(sql), ["entry-1"]);

      await appender.append(one("entry-1", { events: [visit()], erase: ["entry-1"] }));
      const [event] = await readStream(sql, "entry-1");
      assertEquals([event?.erased, event?.unreadable], [true, undefined]);
      assertEquals(await stillUnreadable(sql), []);
    });
  }));
