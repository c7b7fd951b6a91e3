// A log moved to another cluster by pg_dump must not depend on what stays behind: transaction ids,
// sequences of positions, sessions.
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { startServers } from "$src/cli/stack/mod.ts";
import { shell } from "$src/cli/stack/shell.ts";
import { postgresBin } from "$src/cli/stack/tools.ts";
import { Appender } from "$src/store/appender.ts";
import { grantService } from "$src/store/role_grants.ts";
import { migrate } from "$src/store/migrate.ts";
import { readAll, readHead } from "$src/store/read.ts";
import { AppendSignal, subscribe } from "$src/store/subscribe.ts";
import { verifyLog } from "$src/store/verify.ts";
import { freshDatabase } from "../support/database.ts";
import { edited, newStream, one, signed, visit } from "../store/events.ts";

async function fill(sql: Sql): Promise<void> {
  const log = new Appender(sql);
  await log.append(one("entry-1", { expected: "none", events: [signed("hello")] }));
  const idempotency = { scope: "s", key: "before the move", fingerprint: "f" };
  await log.append(one("entry-1", { expected: 1, events: [edited("hello again")], idempotency }));
  for (let i = 0; i < 100; i++) await log.append(one(newStream(), { events: [visit()] }));
}

async function move(from: string, to: string): Promise<void> {
  const bin = await postgresBin();
  const script = '"$1/pg_dump" --no-owner --no-acl --dbname="$2" | ' +
    '"$1/psql" --quiet --set=ON_ERROR_STOP=1 --dbname="$3" >/dev/null';
  await shell(script, bin, from, to);
}

describe("a log moved to a new cluster by pg_dump", () => {
  it("keeps its positions, versions, seals, keys, idempotent repeats and rights", async () => {
    await using own = new AsyncDisposableStack();
    const connected = (url: string) =>
      own.adopt(connect(url, { max: 2 }), (sql) => sql.end({ timeout: 5 }));
    const old = own.use(await freshDatabase());
    const before = connected(old.ownerUrl);
    await migrate(before);
    await fill(before);
    const head = await readHead(before);
    const events = await Array.fromAsync(readAll(before));

    const servers = own.use(await startServers());
    await move(old.ownerUrl, servers.ownerDatabaseUrl);
    const owner = connected(servers.ownerDatabaseUrl);
    assertEquals(await migrate(owner), []);
    const { username, password } = new URL(servers.databaseUrl);
    await grantService(owner, { role: username, password });
    const service = connected(servers.databaseUrl);

    assertEquals(await readHead(service), head);
    assertEquals(await Array.fromAsync(readAll(service)), events);
    const log = new Appender(service);
    const idempotency = { scope: "s", key: "before the move", fingerprint: "f" };
    assertEquals((await log.append(one("entry-1", { idempotency }))).replayed, true);
    const next = await log.append(one("entry-1", { expected: 2, events: [edited("moved")] }));
    assertEquals([next.first, next.events[0]?.version], [head.position + 1, 3]);
    assertEquals((await verifyLog(service, { saved: head })).ok, true);

    await using wakeups = new AppendSignal();
    for await (const page of subscribe(service, wakeups, { after: head.position })) {
      assertEquals(page.map(({ position }) => position), [head.position + 1]);
      break;
    }
  });
});
