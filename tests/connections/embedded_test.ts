import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { loadConfig } from "$src/config/config.ts";
import { type Database, openDatabase } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { openEmbedded } from "$src/connections/embedded.ts";
import { waitFor } from "../support/until.ts";

describe("the embedded database", () => {
  let dir: string;
  let first: Database;
  let second: Database;

  before(async () => {
    dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    const config = { ...loadConfig(), DATABASE_URL: undefined, DATA_DIR: dir };
    first = await openDatabase(config);
    second = await openDatabase(config);
    await first.sql`create table notes (text text)`;
  });

  after(async () => {
    await second[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  });

  it("answers many connections at once, each with its own result", async () => {
    const asked = Array.from({ length: 400 }, (_, i) => i);
    const answers = await Promise.all(asked.map(async (i) => {
      const { sql } = i % 2 === 0 ? first : second;
      const [row] = i % 5 === 0
        ? await sql.begin((tx) => tx`select ${i}::int as n, ${String(i)} as text`)
        : await sql`select ${i}::int as n, ${String(i)} as text`;
      return [row?.n, row?.text];
    }));
    assertEquals(answers, asked.map((i) => [i, String(i)]));
  });

  it("keeps one connection's transaction apart from another's statements", async () => {
    let outside: Promise<number> | undefined;
    const count = async () => {
      const [row] = await second.sql<{ n: number }[]>`select count(*)::int as n from notes`;
      return row?.n ?? -1;
    };
    await assertRejects(() =>
      first.sql.begin(async (tx) => {
        await tx`insert into notes (text) values ('undone')`;
        outside = count();
        await tx`insert into notes (text) values ('undone as well')`;
        throw new Error("undone");
      })
    );
    assertEquals(await outside, 0);
  });

  it("continues after a refused statement, in and out of a transaction", async () => {
    const wrong = [1, 2, 3].map((i) => first.sql`select ${i}::int / 0`.then(() => "", String));
    const right = [1, 2, 3].map((i) => second.sql`select ${i}::int as n`);
    assert((await Promise.all(wrong)).every((said) => said.includes("division by zero")));
    assertEquals((await Promise.all(right)).map(([row]) => row?.n), [1, 2, 3]);
    await assertRejects(() => first.sql.begin((tx) => tx`select 1 / 0`));
    assertEquals((await second.sql`select 1 as n`)[0]?.n, 1);
  });

  it("rolls back the open transaction of a broken connection", async () => {
    const config = { ...loadConfig(), DATABASE_URL: undefined, DATA_DIR: dir };
    const third = await openDatabase(config);
    const broken = third.sql.begin(async (tx) => {
      await tx`insert into notes (text) values ('half done')`;
      await third.sql.end({ timeout: 0 });
      await tx`insert into notes (text) values ('never')`;
    });
    await assertRejects(() => broken);
    await waitFor(async () => {
      const [row] = await second.sql<{ n: number }[]>`select count(*)::int as n from notes`;
      return row?.n === 0;
    });
  });

  it("names a directory where it cannot keep its data", async () => {
    const file = `${dir}/a-file`;
    await Deno.writeTextFile(file, "");
    const error = await assertRejects(() => openEmbedded(`${file}/data`), AppError);
    assert(error.message.includes("DATA_DIR cannot be written"), error.message);
    assert(error.message.includes(`${file}/data`), error.message);
  });

  it("makes its socket accessible to its owner only", async () => {
    const socket = (await Deno.readTextFile(`${dir}/lock`)).trim();
    const { mode } = await Deno.stat(socket);
    assertEquals((mode ?? 0) & 0o077, 0);
  });

  it("refuses a second service, and lets tasks join the running one", async () => {
    const dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    {
      await using first = await openEmbedded(dir, { alone: true });
      const error = await assertRejects(() => openEmbedded(dir, { alone: true }), AppError);
      assert(error.message.includes(dir), error.message);
      await using joined = await openEmbedded(dir);
      assertEquals(joined.socket, first.socket);
    }
    await Deno.remove(dir, { recursive: true });
  });
});
