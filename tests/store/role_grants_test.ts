// Real PostgreSQL only: the embedded one has a single user, who owns everything.
import { assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import postgres from "postgres";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { Appender } from "$src/store/appender.ts";
import { grantService } from "$src/store/role_grants.ts";
import { checkMigrated, migrate } from "$src/store/migrate.ts";
import { readStream } from "$src/store/read.ts";
import { verifyLog } from "$src/store/verify.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { edited, one, signed, visit } from "./events.ts";

const DENIED = "42501";
const RESTRICTED = "23001";

describe("the service's role", () => {
  let database: FreshDatabase;
  let owner: Sql;
  let service: Sql;

  before(async () => {
    database = await freshDatabase();
    owner = connect(database.ownerUrl, { max: 2 });
    await migrate(owner);
    const { username, password } = new URL(database.serviceUrl);
    const login = { role: username, password };
    await grantService(owner, login);
    await grantService(owner, login);
    service = connect(database.serviceUrl, { max: 2 });
    await new Appender(service).append(one("entry-1", { expected: "none", events: [signed("x")] }));
  });

  after(async () => {
    await service.end();
    await owner.end();
    await database[Symbol.asyncDispose]();
  });

  async function refused(sql: Sql, statement: string, code: string): Promise<void> {
    const error = await assertRejects(() => sql.unsafe(statement), postgres.PostgresError);
    assertEquals(error.code, code, `${statement}: ${error.message}`);
  }

  it("may append, edit, erase, read and verify", async () => {
    const log = new Appender(service);
    const idempotency = { scope: "s", key: "k", fingerprint: "f" };
    await log.append(one("entry-1", { expected: 1, events: [edited("y")], idempotency }));
    await log.append(one("entry-1", { events: [visit()], erase: ["entry-1"] }));
    assertEquals((await readStream(service, "entry-1")).map(({ erased }) => erased), [
      true,
      true,
      false,
    ]);
    assertEquals((await verifyLog(service)).ok, true);
    assertEquals(await checkMigrated(service), "current");
    await service`select nextval('entry_ids'), setval('user_ids', 5)`;
  });

  for (
    const statement of [
      "update events set type = 'x'",
      "update events set type = 'x' where false",
      "delete from events",
      "truncate events",
      "alter table events disable trigger all",
      "drop trigger append_only on events",
      "drop table events",
      "alter table events add column more int",
      "create or replace function refuse_change() returns trigger language plpgsql as " +
      "'begin return null; end'",
      "insert into counter (position, seal, at) values (1, '', now())",
      "delete from counter",
      "truncate counter",
      "update keys set key = ''",
      "update migrations set checksum = ''",
      "insert into migrations (number, name, checksum) values (9, 'x', 'x')",
      "create table more (n int)",
      "create table public.more (n int)",
      "create temporary table more (n int)",
      "create schema more",
      "create function public.more() returns int language sql as 'select 1'",
      "create role more",
      "create database more",
      "copy events to '/tmp/more'",
      "set session_replication_role = replica",
      "set role pg_read_all_data",
    ]
  ) {
    it(`may not: ${statement}`, async () => {
      await refused(service, statement, DENIED);
    });
  }

  it("owns the read models' schema and may create there", async () => {
    await service`create table read.more (n int)`;
    await service`alter table read.more add column m int`;
    await service`truncate read.more`;
    await service`drop table read.more`;
    await service`insert into read.projections (name, revision, position) values ('p', 1, 0)`;
    await service`delete from read.projections`;
  });

  it("is no superuser and cannot become one", async () => {
    const [row] = await service`
      select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
      from pg_roles where rolname = current_user`;
    assertEquals(Object.values({ ...row }).some(Boolean), false);
  });

  it("has only the rights in this database that the owner granted", async () => {
    const rows = await service<{ right: string }[]>`
      select privilege_type as right from information_schema.role_table_grants
      where grantee = current_user and table_name = 'events' order by 1`;
    assertEquals(rows.map(({ right }) => right), ["INSERT", "SELECT"]);
  });

  it("shares the append-only trigger with the owner and the superuser", async () => {
    const statements = [
      "update events set type = 'x'",
      "update events set type = 'x' where false",
      "delete from events",
      "truncate events",
      "truncate events cascade",
    ];
    for (const statement of statements) await refused(owner, statement, RESTRICTED);
  });
});
