import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { checkMigrated, loadMigrations, migrate, type Migration } from "$src/store/migrate.ts";
import { freshDatabase } from "../support/database.ts";
import { onBoth } from "./backends.ts";

function extra(number: number, text: string, checksum = "c"): Migration {
  return { number, name: `${String(number).padStart(4, "0")}_extra.sql`, text, checksum };
}

async function names(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`select name from migrations order by number`;
  return rows.map(({ name }) => name);
}

async function undo(sql: Sql, number: number): Promise<void> {
  await sql`delete from migrations where number = ${number}`;
  await sql`drop table if exists extra`;
}

describe("migrations", () =>
  onBoth("migrations", ({ test }) => {
    test("that were applied are not applied again", async ({ sql }) => {
      assertEquals(await migrate(sql), []);
      assertEquals(await checkMigrated(sql), "current");
    });

    test("that are new are applied in order, and reported as missing before", async ({ sql }) => {
      const files = await loadMigrations();
      const [last] = files.toReversed();
      const next = (last?.number ?? 0) + 1;
      const more = [
        extra(next, "create table extra (n int)"),
        extra(next + 1, "insert into extra (n) values (1); insert into extra (n) values (2)"),
      ];
      assertEquals(await migrate(sql, [...files, ...more]), more.map(({ name }) => name));
      assertEquals((await sql`select n from extra`).length, 2);
      await undo(sql, next);
      await undo(sql, next + 1);
    });

    test("that fail leave nothing behind", async ({ sql }) => {
      const files = await loadMigrations();
      const before = await names(sql);
      const bad = [
        extra(9001, "create table extra (n int)"),
        extra(9002, "create table more (n int); select no_such_function()"),
      ];
      await assertRejects(() => migrate(sql, [...files, ...bad]), Error, "no_such_function");
      assertEquals(await names(sql), before);
      const [row] = await sql`select to_regclass('extra') as extra, to_regclass('more') as more`;
      assertEquals(row && { ...row }, { extra: null, more: null });
    });

    test("that changed after they were applied are refused by name", async ({ sql }) => {
      const files = await loadMigrations();
      const changed = files.map((file, i) => i === 0 ? { ...file, checksum: "other" } : file);
      const error = await assertRejects(() => migrate(sql, changed), AppError);
      assert(error.message.includes(files[0]?.name ?? "?"), error.message);
    });

    test("unknown to this code are refused: the database is newer", async ({ sql }) => {
      await sql`insert into migrations (number, name, checksum) values (9003, '9003_later.sql', 'x')`;
      try {
        for (const look of [() => migrate(sql), () => checkMigrated(sql)]) {
          const error = await assertRejects(look, AppError);
          assert(error.message.includes("newer") && error.message.includes("9003_later.sql"));
        }
      } finally {
        await undo(sql, 9003);
      }
    });
  }));

describe("migrations of replicas that start together", () => {
  it("are applied once by ten replicas", async () => {
    await using database = await freshDatabase();
    const replicas = Array.from({ length: 10 }, () => connect(database.ownerUrl, { max: 1 }));
    try {
      const [first] = replicas;
      assertEquals(first && await checkMigrated(first), "behind");
      const applied = await Promise.all(replicas.map((sql) => migrate(sql)));
      const files = (await loadMigrations()).map(({ name }) => name);
      assertEquals(applied.filter((names) => names.length > 0), [files]);
    } finally {
      await Promise.all(replicas.map((sql) => sql.end()));
    }
  });
});
