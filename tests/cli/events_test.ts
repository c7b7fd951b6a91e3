import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { Appender } from "$src/store/appender.ts";
import { exportEvents } from "$src/store/export_import.ts";
import { migrate } from "$src/store/migrate.ts";
import { readHead } from "$src/store/read.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { waitFor } from "../support/until.ts";
import { chain, textOf } from "../store/chain.ts";
import { newStream, one, signed } from "../store/events.ts";
import { type Run, spawnTask, task } from "./task.ts";

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
  for (let i = 0; i < 5; i++) await log.append(one(newStream()));
  await log.append(one("entry-1", { expected: "none", events: [signed("hello")] }));
  env = { DATABASE_URL: database.ownerUrl, DATA_DIR: `${dir}/data` };
});

after(async () => {
  await sql.end();
  await database[Symbol.asyncDispose]();
  await Deno.remove(dir, { recursive: true });
});

async function exported(): Promise<string> {
  return (await Array.fromAsync(exportEvents(sql, {}))).map(({ text }) => text).join("");
}

/** A database with the tables and no events. */
async function emptyLog(): Promise<AsyncDisposable & { env: Record<string, string>; sql: Sql }> {
  const fresh = await freshDatabase();
  const own = connect(fresh.ownerUrl, { max: 1 });
  await migrate(own);
  return {
    sql: own,
    env: { ...env, DATABASE_URL: fresh.ownerUrl },
    async [Symbol.asyncDispose]() {
      await own.end();
      await fresh[Symbol.asyncDispose]();
    },
  };
}

function refused({ code, stdout, stderr }: Run, ...said: string[]): void {
  assert(code !== 0, `exit code ${code}: ${stderr}`);
  assertEquals(stdout, "");
  for (const part of said) assert(stderr.includes(part), `${part} is not in: ${stderr}`);
  assert(!/\n\s+at /.test(stderr), `a stack trace is no message: ${stderr}`);
}

describe("events export", () => {
  it("writes the log to a pipe, and one closing line to stderr", async () => {
    const { code, stdout, stderr } = await task(["events", "export"], env);
    assertEquals([code, stdout], [0, await exported()]);
    assertEquals(stderr, "exported the log up to position 6\n");
  });

  it("writes a file, whole or not at all", async () => {
    const { code, stdout } = await task(["events", "export", `${dir}/log.ndjson`], env);
    assertEquals([code, stdout], [0, ""]);
    assertEquals(await Deno.readTextFile(`${dir}/log.ndjson`), await exported());

    refused(await task(["events", "export", `${dir}/none/log`], env), `${dir}/none/log`);
    const left = (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name);
    assertEquals(left.filter((name) => name.endsWith(".part")), []);
  });

  it("selects by range, stream and types", async () => {
    const narrow = ["--after", "1", "--until", "6", "--type", "EntrySigned"];
    const { stdout } = await task(["events", "export", ...narrow], env);
    assertEquals(JSON.parse(stdout).stream, "entry-1");
  });

  it("makes the key file readable for its owner only", async () => {
    const keys = `${dir}/keys`;
    await task(["events", "export", `${dir}/with-keys`, "--keys", keys], env);
    assertEquals(((await Deno.stat(keys)).mode ?? 0) & 0o077, 0);
    assert((await Deno.readTextFile(keys)).includes("entry-1"));
  });
});

describe("events import", () => {
  it("accepts what export wrote, from a pipe and from a file, with its keys", async () => {
    const [log, keys] = [`${dir}/all.ndjson`, `${dir}/all.keys`];
    await task(["events", "export", log, "--keys", keys], env);
    const text = await Deno.readTextFile(log);
    for (const words of [["events", "import"], ["events", "import", log, "--keys", keys]]) {
      await using fresh = await emptyLog();
      const run = await task(words, fresh.env, words.length === 2 ? text : undefined);
      const head = await readHead(sql);
      assertEquals(run.stderr, `imported 6 events, seal ${head.seal}\n`);
      assertEquals([run.code, run.stdout], [0, ""]);
      assertEquals((await task(["events", "export"], fresh.env)).stdout, text);
    }
  });

  it("names a broken line and writes nothing", async () => {
    await using fresh = await emptyLog();
    const lines = textOf(chain(500)).split("\n");
    const broken = lines.with(399, lines[399]?.replace("count", "kount") ?? "").join("\n");
    refused(await task(["events", "import"], fresh.env, broken), "line 400 refused", "count");
    assertEquals((await readHead(fresh.sql)).position, 0);
    assertEquals((await fresh.sql`select position from events limit 1`).length, 0);
  });

  it("names a file that ends within a character, or is not text", async () => {
    await using fresh = await emptyLog();
    const bytes = new Uint8Array([...new TextEncoder().encode(textOf(chain(1))), 0xff, 0xfe, 10]);
    await Deno.writeFile(`${dir}/bytes`, bytes);
    refused(await task(["events", "import", `${dir}/bytes`], fresh.env), "line 2 refused");
    assertEquals((await readHead(fresh.sql)).position, 0);
  });

  it("refuses an endless line before it fills the memory", async () => {
    await using fresh = await emptyLog();
    await Deno.writeTextFile(`${dir}/long`, textOf(chain(2)) + "x".repeat(6_000_000));
    refused(await task(["events", "import", `${dir}/long`], fresh.env), "line 3 refused", "longer");
  });

  it("refuses to write to a log that has events", async () => {
    const before = await readHead(sql);
    refused(await task(["events", "import"], env, textOf(chain(3))), "without events", "6");
    assertEquals(await readHead(sql), before);
  });

  it("names a missing file of events or of keys", async () => {
    await using fresh = await emptyLog();
    refused(await task(["events", "import", `${dir}/nowhere`], fresh.env), `${dir}/nowhere`);
    await Deno.writeTextFile(`${dir}/three`, textOf(chain(3)));
    const words = ["events", "import", `${dir}/three`, "--keys", `${dir}/no-keys`];
    refused(await task(words, fresh.env), `${dir}/no-keys`);
    assertEquals((await readHead(fresh.sql)).position, 0);
  });

  it("rolls back when it is interrupted", async () => {
    await using fresh = await emptyLog();
    const child = spawnTask(["events", "import"], fresh.env, "piped");
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(textOf(chain(20_000))));
    await waitFor(async () => {
      const [row] = await fresh.sql`
        select pid from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null`;
      return row !== undefined;
    });
    child.kill("SIGINT");
    const { code } = await child.output();
    await writer.close().catch(() => undefined);
    assert(code !== 0);
    assertEquals((await fresh.sql`select position from events limit 1`).length, 0);
    assertEquals((await readHead(fresh.sql)).position, 0);
  });
});

describe("events tail", () => {
  it("prints stored and new events, and exits with 0 at Ctrl-C", async () => {
    const child = spawnTask(["events", "tail", "--after", "4"], env);
    let text = "";
    const read = (async () => {
      for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) text += part;
    })();
    const positions = () =>
      text.split("\n").slice(0, -1).map((line): number => JSON.parse(line).position);
    await waitFor(() => positions().length >= 2);
    const { first } = await new Appender(sql).append(one(newStream()));
    await waitFor(() => positions().includes(first));
    assertEquals(positions(), [5, 6, first]);
    child.kill("SIGINT");
    await read;
    const { code } = await child.status;
    assertEquals([code, await new Response(child.stderr).text()], [0, ""]);
  });
});

describe("the tasks of the log", () => {
  const tasks = [["verify"], ["events", "export"], ["events", "import"], ["events", "tail"]];
  const wrong: [string, string, string[]][] = [
    ["of another scheme", "mysql://u:secretpass@127.0.0.1/x", ["DATABASE_URL", "postgres://"]],
    ["that is none", "nonsense", ["DATABASE_URL"]],
    ["where nobody listens", "postgres://u:secretpass@127.0.0.1:1/x", ["127.0.0.1:1"]],
  ];
  for (const words of tasks) {
    for (const [name, url, said] of wrong) {
      it(`${words.join(" ")} names a DATABASE_URL ${name}`, async () => {
        const run = await task(words, { ...env, DATABASE_URL: url });
        refused(run, ...said);
        assert(!run.stderr.includes("secretpass"), run.stderr);
      });
    }

    it(`${words.join(" ")} names a database that does not exist`, async () => {
      const url = new URL(database.ownerUrl);
      url.pathname = "/no_such_database";
      refused(await task(words, { ...env, DATABASE_URL: url.href }), "no_such_database");
    });

    it(`${words.join(" ")} says that migrations are missing`, async () => {
      await using fresh = await freshDatabase();
      refused(await task(words, { ...env, DATABASE_URL: fresh.ownerUrl }), "migrat");
    });

    it(`${words.join(" ")} names a DATA_DIR that cannot be written`, async () => {
      await Deno.writeTextFile(`${dir}/a-file`, "");
      const place = `${dir}/a-file/data`;
      refused(await task(words, { DATA_DIR: place }), "DATA_DIR", place);
      assertEquals(await Deno.readTextFile(`${dir}/a-file`), "");
    });
  }

  it("name a wrong option, word or number", async () => {
    refused(await task(["events"], env), "usage");
    refused(await task(["events", "burn"], env), "usage");
    refused(await task(["events", "export", "a", "b"], env), "b");
    refused(await task(["events", "export", "--after", "soon"], env), "--after");
    refused(await task(["events", "export", "--after", "-1"], env), "after");
    refused(await task(["events", "export", "--nothing"], env), "--nothing");
    refused(await task(["verify", "--nothing"], env), "--nothing");
    refused(await task(["verify", "more"], env), "more");
  });
});
