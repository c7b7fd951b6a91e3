import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { Appender } from "$src/store/appender.ts";
import { migrate } from "$src/store/migrate.ts";
import { readHead } from "$src/store/read.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { newStream, one, signed, visit } from "../store/events.ts";
import { task } from "./task.ts";

describe("verify", () => {
  let dir: string;
  let database: FreshDatabase;
  let sql: Sql;
  let env: Record<string, string>;

  before(async () => {
    dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    database = await freshDatabase();
    sql = connect(database.ownerUrl, { max: 2 });
    await migrate(sql);
    const log = new Appender(sql);
    for (let i = 0; i < 10; i++) await log.append(one(newStream()));
    env = { DATABASE_URL: database.ownerUrl, DATA_DIR: `${dir}/data` };
  });

  after(async () => {
    await sql.end();
    await database[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  });

  it("prints one line into a pipe and exits with 0", async () => {
    const { position, seal } = await readHead(sql);
    const run = await task(["verify"], env);
    assertEquals(run, {
      code: 0,
      stdout: `verified ${position} events, seal ${seal}\n`,
      stderr: "",
    });
  });

  it("names the first position that does not fit and exits with 1", async () => {
    const change = async (page: string) => {
      await sql`alter table events disable trigger all`;
      await sql`update events set data = jsonb_set(data, '{page}', to_jsonb(${page}::text))
        where position = 4`;
      await sql`alter table events enable trigger all`;
    };
    await change("/x");
    const { code, stdout } = await task(["verify"], env);
    assertEquals([code, stdout.startsWith("position 4 does not fit: ")], [1, true]);
    await change("/");
    assertEquals((await task(["verify"], env)).code, 0);
  });

  it("names the subject whose key does not open its text, and exits with 1", async () => {
    await new Appender(sql).append(one("entry-1", { expected: "none", events: [signed("words")] }));
    const { position, seal } = await readHead(sql);
    await sql`update keys set key = '\\x00' where subject = 'entry-1'`;
    assertEquals(await task(["verify"], env), {
      code: 1,
      stdout: `verified ${position} events, seal ${seal}\n` +
        `position ${position} cannot be read: the key of entry-1 does not open it\n`,
      stderr: "",
    });
    await sql`delete from keys where subject = 'entry-1'`;
    assertEquals((await task(["verify"], env)).code, 0, "erased is not damaged");
  });

  it("saves a head, and later compares the log with it", async () => {
    const head = `${dir}/head.json`;
    assertEquals((await task(["verify", "--save", head], env)).code, 0);
    const { position } = await readHead(sql);
    assertEquals(JSON.parse(await Deno.readTextFile(head)).position, position);
    await new Appender(sql).append(one(newStream(), { events: [visit()] }));
    assertEquals((await task(["verify", "--head", head], env)).code, 0);

    const other = await task(["verify", "--head", head], { ...env, DATA_DIR: `${dir}/other` });
    assert(other.stderr.includes("another key"), other.stderr);

    await using shorter = await freshDatabase();
    const less = connect(shorter.ownerUrl, { max: 1 });
    await migrate(less);
    await new Appender(less).append(one("visits-1"));
    await less.end();
    const cut = await task(["verify", "--head", head], { ...env, DATABASE_URL: shorter.ownerUrl });
    assertEquals([cut.code, cut.stdout.startsWith("position 2 does not fit")], [1, true]);
  });

  it("refuses a head that was changed, is malformed, or is missing", async () => {
    const head = `${dir}/forged.json`;
    await task(["verify", "--save", head], env);
    const saved = JSON.parse(await Deno.readTextFile(head));
    await Deno.writeTextFile(head, JSON.stringify({ ...saved, seal: "0".repeat(64) }));
    await Deno.writeTextFile(`${dir}/none.json`, "{}");
    const said: [string, string][] = [
      [head, "signature"],
      [`${dir}/none.json`, "not a saved head"],
      [`${dir}/nowhere.json`, `${dir}/nowhere.json`],
    ];
    for (const [path, part] of said) {
      const { code, stderr } = await task(["verify", "--head", path], env);
      assert(code === 1 && stderr.includes(part), `${code}: ${stderr}`);
    }
  });

  it("names a path where it cannot save a head", async () => {
    const { code, stderr } = await task(["verify", "--save", `${dir}/none/head.json`], env);
    assert(code === 1 && stderr.includes(`${dir}/none/head.json`), `${code}: ${stderr}`);
  });

  it("refuses a wrong SIGNING_KEY without showing it", async () => {
    const run = await task(["verify"], { ...env, SIGNING_KEY: "not-a-key-at-all" });
    assert(run.code === 1 && run.stderr.includes("SIGNING_KEY"), run.stderr);
    assert(!run.stderr.includes("not-a-key-at-all"), run.stderr);
  });
});
