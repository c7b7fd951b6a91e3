import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { AppError } from "$src/errors.ts";
import { type Append, type Appended, Appender } from "$src/store/appender.ts";
import { readStream } from "$src/store/read.ts";
import { canonical } from "$src/store/hash_chain.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { onBoth } from "./backends.ts";
import { newStream, one, signed, visit } from "./events.ts";

function keyed(key: string, fingerprint = "the same body", part: Partial<Append> = {}): Append {
  const idempotency = { scope: "POST /sign, a visitor", key, fingerprint };
  return { ...one(newStream(), { events: [visit("/", 1)] }), ...part, idempotency };
}

function answerOf({ events, first, last }: Appended) {
  return { events, first, last };
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function distinct(answers: (Appended | undefined)[]): string[] {
  return [...new Set(answers.map((answer) => canonical(answer && plain(answerOf(answer)))))];
}

async function eventsAfter(sql: Sql, position: number): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from events where position >= ${position}`;
  return row?.count ?? 0;
}

describe("an idempotency key", () =>
  onBoth("idempotency", ({ test, realOnly }) => {
    test("gets the first answer again for the same body, and appends nothing", async ({ sql }) => {
      const log = new Appender(sql);
      const first = await log.append(keyed("again"));
      const second = await log.append(keyed("again"));
      assertEquals(answerOf(second), answerOf(first));
      assertEquals([first.replayed, second.replayed], [false, true]);
      assertEquals(await eventsAfter(sql, first.first), 1);
    });

    test("is refused with another body", async ({ sql }) => {
      const log = new Appender(sql);
      const { first } = await log.append(keyed("other body"));
      const error = await assertRejects(
        () => log.append(keyed("other body", "another body")),
        AppError,
      );
      assertEquals(error.code, "invalid");
      assertEquals(await eventsAfter(sql, first), 1);
    });

    test("of another caller is another key", async ({ sql }) => {
      const log = new Appender(sql);
      const mine = await log.append(keyed("shared"));
      const idempotency = { scope: "POST /sign, another", key: "shared", fingerprint: "x" };
      const theirs = await log.append(one(newStream(), { idempotency }));
      assertEquals([theirs.replayed, theirs.first], [false, mine.first + 1]);
    });

    test("gives 100 concurrent requests one event and 100 equal answers", async ({ sql }) => {
      const log = new Appender(sql);
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => log.append(keyed("racers"))),
      );
      assertEquals(answers.length, 100);
      assertEquals(distinct(answers).length, 1);
      assertEquals(answers.filter(({ replayed }) => !replayed).length, 1);
      assertEquals(await eventsAfter(sql, answers[0]?.first ?? 0), 1);
    });

    test("gives 100 concurrent requests in five appenders one event and 100 equal answers", async (backend) => {
      await using other = await backend.another();
      const pools = [backend.sql, other.sql];
      const logs = Array.from({ length: 5 }, (_, i) => new Appender(pools[i % 2] ?? backend.sql));
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => logs[i % 5]?.append(keyed("apart"))),
      );
      assertEquals(answers.length, 100);
      assertEquals(distinct(answers).length, 1);
      assertEquals(await eventsAfter(backend.sql, answers[0]?.first ?? 0), 1);
    });

    test("repeats the answer from before a restart to concurrent requests", async (backend) => {
      const first = await new Appender(backend.sql).append(keyed("restart"));
      await using restarted = await backend.another();
      const log = new Appender(restarted.sql);
      const answers = await Promise.all(
        Array.from({ length: 100 }, () => log.append(keyed("restart"))),
      );
      assertEquals(distinct([first, ...answers]).length, 1);
      assert(answers.every(({ replayed }) => replayed));
      assertEquals(await eventsAfter(backend.sql, first.first), 1);
    });

    test("stays free after a refused append", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      const idempotency = { scope: "s", key: "refused", fingerprint: "f" };
      const append = one(stream, { expected: "exists", idempotency });
      await assertRejects(() => log.append(append), AppError);
      await log.append(one(stream));
      assertEquals((await log.append(append)).replayed, false);
    });

    test("is free again after 24 hours, not before", async ({ sql }) => {
      const log = new Appender(sql);
      const { first } = await log.append(keyed("a day"));
      const age = (by: string) =>
        sql`update idempotency set at = at - ${by}::interval where key = 'a day'`;
      await age("23 hours 59 minutes");
      assertEquals((await log.append(keyed("a day"))).replayed, true);
      await age("2 minutes");
      const later = await log.append(keyed("a day", "a body of the next day"));
      assertEquals([later.replayed, later.first > first], [false, true]);
      assertEquals((await log.append(keyed("a day", "a body of the next day"))).replayed, true);
    });

    test("stores no text of its answer: a repeat after an erasure is blank", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream("entry");
      const idempotency = { scope: "s", key: "erased", fingerprint: "f" };
      const events = [signed("a secret")];
      const append = one(stream, { expected: "none", events, idempotency });
      await log.append(append);
      await log.append(one(stream, { erase: [stream], events: [visit()] }));
      const again = await log.append(append);
      assertEquals([again.replayed, again.events[0]?.erased], [true, true]);
      assert(!JSON.stringify(again).includes("secret"));
      const kept = await sql`select * from idempotency where key = 'erased'`;
      assert(!JSON.stringify(kept).includes("secret"));
    });

    realOnly("one session: no second one to end it").test(
      "stays free when its append ends before the commit",
      async (backend) => {
        await using other = await backend.another();
        const stream = newStream();
        const idempotency = { scope: "s", key: "died", fingerprint: "f" };
        const hook = {
          loadState: () => Promise.resolve(),
          async apply(tx: { unsafe: Sql["unsafe"] }) {
            const [row] = await tx.unsafe("select pg_backend_pid() as pid");
            await other.sql`select pg_terminate_backend(${Number(row?.pid)})`;
          },
        };
        const dying = new Appender(backend.sql, { hook });
        await assertRejects(() => dying.append(one(stream, { idempotency })), AppError);
        const { replayed } = await new Appender(other.sql).append(one(stream, { idempotency }));
        assertEquals([replayed, (await readStream(other.sql, stream)).length], [false, 1]);
      },
    );
  }));
