import { assertEquals, assertRejects } from "@std/assert";
import { AppError } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import { readHead } from "$src/store/read.ts";
import { AppendSignal, subscribe, type SubscribeOptions } from "$src/store/subscribe.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { freshDatabase, opened } from "../support/database.ts";
import { proxyTo } from "../support/proxy.ts";
import { waitFor } from "../support/until.ts";
import { migrate } from "$src/store/migrate.ts";
import { onBoth } from "./backends.ts";
import { item, newStream, one, visit } from "./events.ts";
import { describe, it } from "@std/testing/bdd";

/** Collects positions in the background until disposed. */
function collect(sql: Sql, wakeups: AppendSignal, options: SubscribeOptions = {}) {
  const stop = new AbortController();
  const positions: number[] = [];
  const done = (async () => {
    for await (const events of subscribe(sql, wakeups, { ...options, signal: stop.signal })) {
      positions.push(...events.map(({ position }) => position));
    }
  })();
  return {
    positions,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

function from(first: number, length: number): number[] {
  return Array.from({ length }, (_, i) => first + i);
}

// Far longer than any test: what arrives earlier was not found by polling.
const NEVER = 3_600_000;

describe("subscribe()", () =>
  onBoth("subscribe", ({ test, realOnly }) => {
    test("delivers stored events, then new ones, each once and in order", async ({ sql }) => {
      const log = new Appender(sql);
      const { position: after } = await readHead(sql);
      await log.append(one(newStream(), { events: from(1, 30).map(() => visit()) }));
      await using wakeups = new AppendSignal();
      await using seen = collect(sql, wakeups, { after, limit: 7, pollMs: 20 });
      for (const _ of from(0, 20)) {
        await Promise.all(from(0, 5).map(() => log.append(one(newStream()))));
      }
      await waitFor(() => seen.positions.length >= 130);
      assertEquals(seen.positions, from(after + 1, 130));
    });

    test("is woken by this process's own commits, without polling", async ({ sql }) => {
      await using wakeups = new AppendSignal();
      const log = new Appender(sql, { onCommit: () => void wakeups.wake() as undefined });
      const { position: after } = await readHead(sql);
      await using seen = collect(sql, wakeups, { after, pollMs: NEVER });
      for (const count of from(1, 20)) {
        await log.append(one(newStream()));
        await waitFor(() => seen.positions.length >= count);
      }
      assertEquals(seen.positions, from(after + 1, 20));
    });

    test("polls when nothing wakes it", async ({ sql }) => {
      await using wakeups = new AppendSignal();
      const { position: after } = await readHead(sql);
      await using seen = collect(sql, wakeups, { after, pollMs: 10 });
      await new Appender(sql).append(one(newStream()));
      await waitFor(() => seen.positions.length >= 1);
      assertEquals(seen.positions, [after + 1]);
    });

    test("resumes from the position where it stopped", async ({ sql }) => {
      const log = new Appender(sql);
      await using wakeups = new AppendSignal();
      const { position: after } = await readHead(sql);
      const seen: number[] = [];
      for (const _ of from(0, 4)) {
        await log.append(one(newStream(), { events: from(1, 5).map(() => visit()) }));
        const resumed = { after: seen.at(-1) ?? after, limit: 3, pollMs: 10 };
        for await (const events of subscribe(sql, wakeups, resumed)) {
          seen.push(...events.map(({ position }) => position));
          break;
        }
      }
      assertEquals(seen, from(after + 1, 12));
    });

    test("delivers only the requested stream and types", async ({ sql }) => {
      const log = new Appender(sql);
      await using wakeups = new AppendSignal();
      const { position: after } = await readHead(sql);
      const stream = newStream("item");
      await using byStream = collect(sql, wakeups, { after, stream, pollMs: 10 });
      await using byType = collect(sql, wakeups, { after, types: ["ItemCreated"], pollMs: 10 });
      await log.append(one(newStream()));
      const { first } = await log.append(one(stream, { events: [item("a"), visit()] }));
      await log.append(one(newStream("item"), { events: [item("b")] }));
      await waitFor(() => byType.positions.length >= 2 && byStream.positions.length >= 2);
      assertEquals(byStream.positions, [first, first + 1]);
      assertEquals(byType.positions, [first, first + 2]);
    });

    test("ends at once when its signal is aborted", async ({ sql }) => {
      await using wakeups = new AppendSignal();
      const { position: after } = await readHead(sql);
      const seen = collect(sql, wakeups, { after, pollMs: NEVER });
      await seen[Symbol.asyncDispose]();
      assertEquals(seen.positions, []);
    });

    realOnly("LISTEN through its socket delivers nothing: polling stands in for it").test(
      "is woken by another process's commits, without polling",
      async (backend) => {
        await using other = await backend.another();
        await using wakeups = new AppendSignal();
        await wakeups.listen(backend.sql);
        const { position: after } = await readHead(backend.sql);
        await using seen = collect(backend.sql, wakeups, { after, pollMs: NEVER });
        const log = new Appender(other.sql);
        for (const count of from(1, 10)) {
          await log.append(one(newStream()));
          await waitFor(() => seen.positions.length >= count);
        }
        assertEquals(seen.positions, from(after + 1, 10));
      },
    );

    realOnly("LISTEN through its socket delivers nothing").test(
      "is notified once for each batch, not for each event",
      async (backend) => {
        await using other = await backend.another();
        const told: string[] = [];
        const { unlisten } = await other.sql.listen("tallybook", (at) => told.push(at));
        const log = new Appender(backend.sql);
        const { last } = await log.append(
          one(newStream(), { events: from(1, 200).map(() => visit()) }),
        );
        await waitFor(() => told.includes(String(last)));
        assertEquals(told, [String(last)]);
        await unlisten();
      },
    );
  }));

describe("subscribe(), when the database goes away", () => {
  it("waits, resumes at its position, and is woken by the database again", async () => {
    await using database = await freshDatabase();
    await using proxy = proxyTo(database.ownerUrl);
    await using direct = opened(database.ownerUrl);
    await migrate(direct.sql);
    await using remote = opened(proxy.url);
    await using wakeups = new AppendSignal();
    await wakeups.listen(remote.sql);
    const log = new Appender(direct.sql);
    await using polled = collect(remote.sql, wakeups, { pollMs: 50 });
    await log.append(one(newStream()));
    await waitFor(() => polled.positions.length === 1);

    proxy.cut();
    const error = await assertRejects(
      () => new Appender(remote.sql).append(one(newStream())),
      AppError,
    );
    assertEquals(error.code, "unavailable");
    await log.append(one(newStream(), { events: from(1, 50).map(() => visit()) }));
    assertEquals(polled.positions, [1]);
    proxy.mend();

    await waitFor(() => polled.positions.length >= 51);
    assertEquals(polled.positions, from(1, 51));

    await using woken = collect(remote.sql, wakeups, { after: 51, pollMs: NEVER });
    await waitFor(async () => {
      await log.append(one(newStream()));
      return woken.positions.length > 0;
    });
  });
});
