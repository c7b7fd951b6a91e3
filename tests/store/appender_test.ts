import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe } from "@std/testing/bdd";
import type { NewEvent } from "$events/mod.ts";
import { AppError, type Code } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import { decode, readEvents, readHead, readStored, readStream } from "$src/store/read.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { onBoth } from "./backends.ts";
import { edited, item, meta, newStream, one, signed, visit } from "./events.ts";

async function refusedWith(code: Code, work: Promise<unknown>): Promise<AppError> {
  const error = await assertRejects(() => work, AppError);
  assertEquals(error.code, code, error.message);
  return error;
}

async function versionOf(sql: Sql, stream: string): Promise<number> {
  return (await readStream(sql, stream)).length;
}

describe("append()", () =>
  onBoth("append", ({ test, alone, realOnly }) => {
    test("returns positions, versions and the event as it was given", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      const { events, first, last, replayed } = await log.append(
        one(stream, { expected: "none", events: [visit("/a", 2), visit("/b", 3)] }),
      );
      assertEquals(events.map((event) => event.version), [1, 2]);
      assertEquals(events.map((event) => event.data), [
        { page: "/a", count: 2 },
        { page: "/b", count: 3 },
      ]);
      assertEquals([first, last, replayed], [events[0]?.position, first + 1, false]);
      assertEquals(await readStream(sql, stream), events);
    });

    test("returns the end of its own batch, and of no other", async ({ sql, another }) => {
      await using elsewhere = await another();
      const [log, other] = [new Appender(sql), new Appender(elsewhere.sql)];
      const { last } = await log.append(one(newStream()));
      assertEquals([log.wrote(last), other.wrote(last)], [true, false]);
      const theirs = await other.append(one(newStream()));
      // A no-op and an idempotent repeat: both return the head, which is another append's.
      const key = { scope: "POST /nothing", key: newStream(), fingerprint: "f" };
      await log.append({ streams: [], meta: { actor: "system" }, idempotency: key });
      assertEquals(log.wrote(theirs.last), false);
    });

    test("rejects a stale version", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      await log.append(one(stream, { expected: 0 }));
      await log.append(one(stream, { expected: 1 }));
      for (const expected of [0, 1, 3]) {
        const error = await refusedWith("conflict", log.append(one(stream, { expected })));
        assertEquals(error.detail, { stream, actual: 2 });
      }
      assertEquals(await versionOf(sql, stream), 2);
    });

    test("takes 'none' for a new stream, 'exists' for an existing one, 'any' for both", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      const missing = await refusedWith(
        "conflict",
        log.append(one(stream, { expected: "exists" })),
      );
      assertEquals(missing.detail.actual, 0);
      await log.append(one(stream, { expected: "none" }));
      const present = await refusedWith("conflict", log.append(one(stream, { expected: "none" })));
      assertEquals(present.detail.actual, 1);
      await log.append(one(stream, { expected: "exists" }));
      await log.append(one(stream, { expected: "any" }));
      await log.append(one(newStream(), { expected: "any" }));
      assertEquals(await versionOf(sql, stream), 3);
    });

    test("rejects an append whose guard names a stale version of another stream", async ({ sql }) => {
      const log = new Appender(sql);
      const [poll, ballot] = [newStream("poll"), newStream("ballot")];
      await log.append(one(poll));
      await log.append(one(ballot, { guards: [{ stream: poll, version: 1 }] }));
      await log.append(one(poll));
      const late = log.append(one(ballot, { guards: [{ stream: poll, version: 1 }] }));
      assertEquals((await refusedWith("conflict", late)).detail, { stream: poll, actual: 2 });
      await log.append(one(ballot, { guards: [{ stream: newStream(), version: 0 }] }));
      assertEquals(await versionOf(sql, ballot), 2);
    });

    test("checks a guard against appends earlier in the same batch", async ({ sql }) => {
      const log = new Appender(sql);
      const [poll, ballot] = [newStream("poll"), newStream("ballot")];
      const guards = [{ stream: poll, version: 0 }];
      const [vote, close, tooLate] = await Promise.allSettled([
        log.append(one(ballot, { guards })),
        log.append(one(poll)),
        log.append(one(ballot, { guards })),
      ]);
      assertEquals([vote, close, tooLate].map(({ status }) => status), [
        "fulfilled",
        "fulfilled",
        "rejected",
      ]);
    });

    test("compares 'notAfter' with the database's clock", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      const [{ now } = { now: new Date() }] = await sql<{ now: Date }[]>`
      select clock_timestamp() as now`;
      await log.append(one(stream, { notAfter: new Date(now.getTime() + 60_000) }));
      await refusedWith("conflict", log.append(one(stream, { notAfter: now })));
      assertEquals(await versionOf(sql, stream), 1);
    });

    test("writes many streams together or not at all", async ({ sql }) => {
      const log = new Appender(sql);
      const [user, email] = [newStream("user"), newStream("email")];
      const both = () => ({
        streams: [
          { stream: user, expected: "any" as const, events: [visit()] },
          { stream: email, expected: "none" as const, events: [visit()] },
        ],
        meta,
      });
      const { events } = await log.append(both());
      assertEquals(events.map((event) => event.stream), [user, email]);
      assertEquals((await refusedWith("conflict", log.append(both()))).detail.stream, email);
      assertEquals([await versionOf(sql, user), await versionOf(sql, email)], [1, 1]);
    });

    test("commits the hook's rows and the events in one transaction", async ({ sql }) => {
      await sql`create table if not exists seen (position bigint primary key, state text)`;
      const hook = {
        prelude: () => Promise.resolve("from the prelude"),
        async apply(tx: Sql, events: { position: number }[], state: string) {
          for (const { position } of events) {
            await tx`insert into seen (position, state) values (${position}, ${state})`;
          }
          if (state === "refuse") throw new Error("the hook gave up");
        },
      } as const;
      const { first } = await new Appender(sql, { hook: asHook(hook) }).append(one(newStream()));
      const rows = await sql<{ state: string }[]>`select state from seen where position = ${first}`;
      assertEquals(rows.map(({ state }) => state), ["from the prelude"]);

      const stream = newStream();
      const before = await readHead(sql);
      const failing = new Appender(sql, {
        hook: asHook({ ...hook, prelude: () => Promise.resolve("refuse") }),
      });
      await assertRejects(() => failing.append(one(stream)), Error, "the hook gave up");
      assertEquals(await readHead(sql), before);
      assertEquals(await versionOf(sql, stream), 0);
      const left = await sql`select position from seen where position > ${before.position}`;
      assertEquals(left.length, 0);
    });

    test("commits waiting appends in one batch, each with its own outcome", async ({ sql }) => {
      const batches: number[] = [];
      const log = new Appender(sql, { onBatch: ({ appends }) => batches.push(appends) });
      const stream = newStream();
      const outcomes = await Promise.allSettled(
        Array.from(
          { length: 50 },
          (_, i) => log.append(one(stream, { expected: i % 5 === 4 ? 999 : "any" })),
        ),
      );
      assertEquals(outcomes.filter(({ status }) => status === "rejected").length, 10);
      assertEquals(await versionOf(sql, stream), 40);
      assert(batches.length < 10, `50 appends took ${batches.length} transactions`);
      const versions = outcomes.flatMap((outcome) =>
        outcome.status === "fulfilled" ? outcome.value.events.map((event) => event.version) : []
      );
      assertEquals(versions, Array.from({ length: 40 }, (_, i) => i + 1));
    });

    test("batches callers again that were answered together", async ({ sql }) => {
      const batches: number[] = [];
      const log = new Appender(sql, { onBatch: ({ appends }) => batches.push(appends) });
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          for (let i = 0; i < 20; i++) await log.append(one(newStream()));
        }),
      );
      assertEquals(batches, Array.from({ length: 20 }, () => 8));
    });

    test("sees the version that an earlier append of the same batch made", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      const racers = await Promise.allSettled(
        Array.from({ length: 20 }, () => log.append(one(stream, { expected: "none" }))),
      );
      assertEquals(racers.filter(({ status }) => status === "fulfilled").length, 1);
      assertEquals(await versionOf(sql, stream), 1);
    });

    test("fails alone where the database itself refuses an append of a batch", async ({ sql }) => {
      await sql`create table if not exists hates_13 (count bigint check (count <> 13))`;
      const hook = asHook({
        prelude: () => Promise.resolve(""),
        async apply(tx: Sql, events: { data: unknown }[]) {
          for (const { data } of events) {
            await tx`insert into hates_13 (count) values (${(data as { count: number }).count})`;
          }
        },
      });
      const log = new Appender(sql, { hook });
      const stream = newStream();
      const outcomes = await Promise.allSettled(
        [1, 2, 13, 4, 5].map((count) => log.append(one(stream, { events: [visit("/", count)] }))),
      );
      assertEquals(outcomes.map(({ status }) => status === "fulfilled"), [
        true,
        true,
        false,
        true,
        true,
      ]);
      const counts = (await readStream(sql, stream)).map(({ data }) => data);
      assertEquals(counts, [1, 2, 4, 5].map((count) => ({ page: "/", count })));
    });

    test("does not append twice when a listener throws after the commit", async ({ sql }) => {
      const log = new Appender(sql, {
        onCommit: () => {
          throw new Error("the listener gave up");
        },
      });
      const stream = newStream();
      const outcomes = await Promise.allSettled([1, 2, 3].map(() => log.append(one(stream))));
      assertEquals(await versionOf(sql, stream), 3);
      assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "fulfilled", "fulfilled"]);
    });

    test("assigns dense positions in order under several appenders at once", async ({ sql }) => {
      const { position: before } = await readHead(sql);
      const logs = [new Appender(sql), new Appender(sql), new Appender(sql)];
      const streams = Array.from({ length: 7 }, () => newStream());
      await Promise.all(
        Array.from(
          { length: 210 },
          (_, i) => logs[i % 3]?.append(one(streams[i % 7] ?? "", { events: [visit(), visit()] })),
        ),
      );
      const rows = await readStored(sql, { after: before });
      assertEquals(
        rows.map(({ position }) => position),
        Array.from({ length: 420 }, (_, i) => before + 1 + i),
      );
      const times = rows.map(({ at }) => at.getTime());
      assertEquals(times, times.toSorted((a, b) => a - b));
      for (const stream of streams) {
        const versions = rows.filter((row) => row.stream === stream).map((row) => row.version);
        assertEquals(versions, Array.from({ length: 60 }, (_, i) => i + 1));
      }
    });

    alone("never sets the log's clock back", async ({ sql }) => {
      const log = new Appender(sql);
      const ahead = new Date(Date.now() + 3_600_000);
      await sql`update counter set at = ${ahead}`;
      const { events } = await log.append(one(newStream()));
      assertEquals(events[0]?.at, ahead);
    });

    test("finishes what it accepted and takes no more once the appender is closed", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      const taken = Promise.all([1, 2, 3].map(() => log.append(one(stream))));
      await Promise.resolve();
      await Promise.resolve();
      await Promise.resolve();
      const closed = log.close();
      await refusedWith("unavailable", log.append(one(stream)));
      await closed;
      await taken;
      assertEquals(await versionOf(sql, stream), 3);
    });

    test("writes 3,000 events in one transaction", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream();
      const many = Array.from({ length: 3000 }, (_, i) => visit("/", i + 1));
      const idempotency = { scope: "s", key: stream, fingerprint: "f" };
      const first = await log.append(one(stream, { events: many, idempotency }));
      assertEquals(first.last - first.first, 2999);
      const again = await log.append(one(stream, { events: many, idempotency }));
      assertEquals(again.events, first.events);
    });

    test("carries out an erasure that has no event", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream("entry");
      await log.append(one(stream, { expected: "none", events: [signed("secret")] }));
      await log.append({ streams: [], erase: [stream], meta });
      assertEquals((await readStream(sql, stream))[0]?.erased, true);
    });

    realOnly("one session: nothing can hold the counter against it").test(
      "reports an unknown outcome for an append that waits too long, which may still commit",
      async (backend) => {
        const { sql } = backend;
        await using other = await backend.another();
        const stream = newStream();
        const log = new Appender(sql, { deadlineMs: 200 });
        let waiting: Promise<AppError> | undefined;
        await other.sql.begin(async (tx) => {
          await tx`select position from counter for update`;
          waiting = refusedWith("unavailable", log.append(one(stream)));
          assert((await waiting).message.includes("not known"));
        });
        await new Appender(sql).append(one(newStream()));
        await log.close();
        assertEquals(await versionOf(sql, stream), 1);
      },
    );

    realOnly("one session: no second one to end it").test(
      "refuses an append as unavailable when its connection is cut, and takes the next one",
      async (backend) => {
        const { sql } = backend;
        await using other = await backend.another();
        const stream = newStream();
        const log = new Appender(sql, {
          hook: asHook({
            prelude: async (tx: Sql) => {
              const [row] = await tx<{ pid: number }[]>`select pg_backend_pid() as pid`;
              await other.sql`select pg_terminate_backend(${row?.pid ?? 0})`;
              return "";
            },
            apply: () => Promise.resolve(),
          }),
        });
        const both = [log.append(one(stream)), log.append(one(stream))];
        for (const each of both) await refusedWith("unavailable", each);
        await new Appender(sql).append(one(stream));
        assertEquals(await versionOf(sql, stream), 1);
      },
    );

    alone(
      "works in a database whose default isolation is stricter",
      async (log) => {
        await log.sql`set session characteristics as transaction isolation level repeatable read`;
        await log.sql`do $$ begin execute format(
      'alter database %I set default_transaction_isolation = ''repeatable read''',
      current_database()); end $$`;
        await using other = await log.another();
        const appenders = [new Appender(other.sql), new Appender(other.sql)];
        const stream = newStream();
        await Promise.all(
          Array.from({ length: 40 }, (_, i) => appenders[i % 2]?.append(one(stream))),
        );
        assertEquals(await versionOf(other.sql, stream), 40);
      },
    );
  }));

describe("validation", () =>
  onBoth("validation", ({ test }) => {
    const refusals: [string, Code, unknown, string][] = [
      ["an unknown event type", "invalid", { type: "Nothing", data: {} }, "Nothing"],
      ["a type that every object has", "invalid", { type: "toString", data: {} }, "toString"],
      ["data that its schema refuses", "invalid", visit("/", -1), "count"],
      ["a field that its schema does not know", "invalid", {
        type: "ItemDeleted",
        data: { id: 1, extra: 1 },
      }, "extra"],
      ["an event of 5 MB", "too_large", item("x".repeat(5_000_000)), "ItemCreated"],
      ["an encrypted event of 5 MB", "too_large", signed("x".repeat(5_000_000)), "EntrySigned"],
      ["text with NUL", "invalid", item("a\0b"), "NUL"],
      ["personal text with NUL", "invalid", signed("a\0b"), "NUL"],
      ["half a surrogate pair", "invalid", item("a\ud83d"), "surrogate"],
      ["half a surrogate pair in a personal field", "invalid", signed("\udc00"), "surrogate"],
    ];
    for (const [name, code, event, said] of refusals) {
      test(`${name} is refused, and its neighbours in the batch are not`, async ({ sql }) => {
        const log = new Appender(sql);
        const stream = newStream();
        const bad = { expected: "none" as const, events: [event as NewEvent] };
        const neighbours = [log.append(one(stream))];
        const refused = refusedWith(code, log.append(one(newStream(), bad)));
        neighbours.push(log.append(one(stream)));
        const { message } = await refused;
        assert(message.includes(said), message);
        assert(message.length < 500, "the refusal repeats the event");
        await Promise.all(neighbours);
      });
    }

    for (const stream of ["", "x".repeat(300), "a\0b", "a\ud800"]) {
      test(`the stream name ${JSON.stringify(stream.slice(0, 8))} is refused`, async ({ sql }) => {
        await refusedWith("invalid", new Appender(sql).append(one(stream)));
      });
    }

    for (const text of ["\\u0000", "\\\\ud800", 'tab\tline\nquote"', "🙂 ß 漢", "\u007f\u2028"]) {
      test(`${JSON.stringify(text)} is stored as text and comes back unchanged`, async ({ sql }) => {
        const stream = newStream("item");
        await new Appender(sql).append(one(stream, { events: [item(text)] }));
        const [read] = await readStream(sql, stream);
        assertEquals(read?.data, item(text).data);
      });
    }
  }));

describe("personal fields", () =>
  onBoth("personal fields", ({ test }) => {
    const secret = "meet me at the bridge";

    test("are encrypted where they are stored and clear where they are read", async ({ sql }) => {
      const stream = newStream("entry");
      await new Appender(sql).append(one(stream, { expected: "none", events: [signed(secret)] }));
      const [row] = await sql<{ text: string }[]>`
      select data::text as text from events where stream = ${stream}`;
      assert(row && !row.text.includes(secret) && !row.text.includes("Ada"));
      const [read] = await readStream(sql, stream);
      assertEquals([read?.data, read?.erased], [signed(secret).data, false]);
    });

    test("of one stream share a key, which no other stream has", async ({ sql }) => {
      const log = new Appender(sql);
      const streams = [newStream("entry"), newStream("entry")];
      for (const stream of streams) {
        await log.append(one(stream, { expected: "none", events: [signed(secret)] }));
        await log.append(one(stream, { expected: 1, events: [edited("again")] }));
      }
      const keys = await sql<{ key: Uint8Array }[]>`
      select key from keys where subject = any(${streams}::text[])`;
      assertEquals(keys.length, 2);
      assert(keys[0]?.key.join() !== keys[1]?.key.join());
    });

    test("do not decrypt in another stream: a text moved there is blank and marked", async ({ sql }) => {
      const stream = newStream("entry");
      await new Appender(sql).append(one(stream, { expected: "none", events: [signed(secret)] }));
      const other = newStream("entry");
      await sql`insert into keys (subject, key)
      select ${other}, key from keys where subject = ${stream}`;
      const stored = await readStored(sql, { stream });
      const moved = stored.map((row) => ({ ...row, stream: other }));
      const [event] = await decode(sql, moved);
      assertEquals(event?.unreadable, true);
      assert(!JSON.stringify(event).includes(secret));
      assertEquals(event?.data, { id: 1, name: "", message: "", author: null, held: false });
    });

    test("of an erased stream are blank and marked; its positions and seals stay", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream("entry");
      await log.append(one(stream, { expected: "none", events: [signed(secret)] }));
      await log.append(one(stream, { expected: 1, events: [edited(secret)] }));
      const stored = await readStored(sql, { stream });
      await log.append(one(stream, {
        expected: 2,
        events: [{ type: "EntryErased", data: { id: 1 } }],
        erase: [stream],
      }));
      const read = await readStream(sql, stream);
      assertEquals(read.map(({ data, erased }) => ({ data, erased })), [
        { data: { id: 1, name: "", message: "", author: null, held: false }, erased: true },
        { data: { id: 1, message: "" }, erased: true },
        { data: { id: 1 }, erased: false },
      ]);
      assertEquals((await readStored(sql, { stream })).slice(0, 2), [...stored]);
      await refusedWith("conflict", log.append(one(stream, { events: [edited("once more")] })));
    });

    test("written while their stream is erased are refused or blank, never clear", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream("entry");
      await log.append(one(stream, { expected: "none", events: [signed(secret)] }));
      await Promise.allSettled([
        log.append(one(stream, { expected: "exists", events: [edited("late")] })),
        log.append(one(stream, { erase: [stream], events: [visit()] })),
        log.append(one(stream, { expected: "exists", events: [edited("later")] })),
      ]);
      const texts = (await readStream(sql, stream)).map(({ data }) => JSON.stringify(data)).join();
      assert(!/late|bridge/.test(texts), texts);
    });

    test("of racing 'none' appends are encrypted with the key that was kept", async ({ sql }) => {
      const log = new Appender(sql);
      const stream = newStream("entry");
      await Promise.allSettled(
        Array.from(
          { length: 10 },
          (_, i) => log.append(one(stream, { expected: "none", events: [signed(`racer ${i}`)] })),
        ),
      );
      const read = await readEvents(sql, { stream });
      assertEquals(read.map(({ data }) => data), [signed("racer 0").data]);
    });
  }));

type AnyHook = NonNullable<NonNullable<ConstructorParameters<typeof Appender>[1]>["hook"]>;

/** Tests write hooks with the types they need; the appender passes on what loadState() returned. */
function asHook(hook: {
  prelude(tx: Sql): Promise<string>;
  apply(tx: Sql, events: { position: number; data: unknown }[], state: string): Promise<void>;
}): AnyHook {
  return {
    loadState: (tx) => hook.prelude(tx as unknown as Sql),
    apply: (tx, events, state) => hook.apply(tx as unknown as Sql, events, String(state)),
  };
}
