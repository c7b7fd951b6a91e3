// Backups: taken during writes, restored whole or not at all, and without subjects erased since.
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { projections } from "$projections/mod.ts";
import { backup } from "$src/store/backup.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { prepareProjections } from "$src/projector/projector.ts";
import { readHead, readStored, readStream } from "$src/store/read.ts";
import { empty, erase, type Own, sign, signing } from "./backups.ts";
import { task } from "./task.ts";

async function nameOf(sql: Sql, id: number): Promise<string | undefined> {
  const [event] = await readStream(sql, `entry-${id}`);
  return event?.type === "EntrySigned" ? event.data.name : undefined;
}

describe("backup and restore", () => {
  let source: Own;
  let dir: string;
  let folder: string;

  before(async () => {
    source = await empty();
    await prepareProjections(source.sql, projections);
    dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    folder = `${dir}/backups`;
    for (let id = 1; id <= 30; id++) await sign(source.log, id);
    await backup(source.sql, { folder, signing });
  });
  after(async () => {
    await source[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  });

  const restoreInto = ({ database }: Own, from: string) =>
    task(["restore", from], { DATABASE_URL: database.ownerUrl, DATA_DIR: `${dir}/data` });

  /** The newest log in the folder. */
  function newest(): string {
    const logs = [...Deno.readDirSync(folder)].map(({ name }) => name)
      .filter((name) => name.endsWith(".ndjson") && name.startsWith("log-"));
    return logs.sort().at(-1) ?? "";
  }

  it("carry everything into an empty database, which then verifies", async () => {
    const env = { DATABASE_URL: source.database.ownerUrl, DATA_DIR: `${dir}/data` };
    const made = await task(["backup", `${dir}/tasks`], env);
    assertEquals(made.code, 0, made.stderr);
    await using target = await empty();
    const run = await restoreInto(target, `${dir}/tasks`);
    assertEquals(run.code, 0, run.stderr);
    assertStringIncludes(run.stderr, "verified");
    assertEquals([...await readStored(target.sql, {})], [...await readStored(source.sql, {})]);
    assertEquals(await nameOf(target.sql, 7), "Name 7");
    const [row] = await target.sql<{ n: number }[]>`select count(*) as n from read.entries`;
    assertEquals(row?.n, 30);
  });

  it("are consistent during writes: the backup is a whole log up to the head where it began", async () => {
    let over = false;
    const writing = (async () => {
      for (let id = 1000; !over; id++) await sign(source.log, id);
    })();
    const { head } = await backup(source.sql, { folder: `${dir}/busy`, signing });
    over = true;
    await writing;
    assert((await readHead(source.sql)).position > head.position, "it was written to meanwhile");
    await using target = await empty();
    const run = await restoreInto(target, `${dir}/busy`);
    assertEquals(run.code, 0, run.stderr);
    assertEquals((await readHead(target.sql)).position, head.position);
  });

  it("never bring back text erased since, not even from an older log", async () => {
    assertEquals(await nameOf(source.sql, 3), "Name 3");
    const older = newest();
    await erase(source.log, 3);
    await backup(source.sql, { folder, signing });
    await using target = await empty();
    assertEquals((await restoreInto(target, folder)).code, 0);
    assertEquals(await nameOf(target.sql, 3), "");
    const alone = `${dir}/older`;
    await Deno.mkdir(alone);
    for (const name of [older, `${older}.head`, "keys.ndjson"]) {
      await Deno.copyFile(`${folder}/${name}`, `${alone}/${name}`);
    }
    await using past = await empty();
    assertEquals((await restoreInto(past, alone)).code, 0);
    assertEquals(await nameOf(past.sql, 3), "");
    assertEquals(await nameOf(past.sql, 4), "Name 4");
    for (const { name } of Deno.readDirSync(folder)) {
      const text = await Deno.readTextFile(`${folder}/${name}`);
      assert(!text.includes("words of 3"), `${name} holds no text in clear`);
    }
  });

  const harms: Record<string, (folder: string, log: string) => void> = {
    "the log cut off in a line": (at, log) => cut(`${at}/${log}`, 10),
    "the log cut off after a line": (at, log) => lines(`${at}/${log}`, (all) => all.slice(0, -1)),
    "a line taken out": (at, log) => lines(`${at}/${log}`, (all) => all.toSpliced(4, 1)),
    "two lines changed over": (at, log) =>
      lines(`${at}/${log}`, ([a = "", b = "", ...rest]) => [b, a, ...rest]),
    "one letter altered": (at, log) => replace(`${at}/${log}`, "entry-5", "entry-6"),
    "the head's position altered": (at, log) =>
      replace(`${at}/${log}.head`, '"position": ', '"position": 1'),
    "the head gone": (at, log) => Deno.removeSync(`${at}/${log}.head`),
    "the keys gone": (at) => Deno.removeSync(`${at}/keys.ndjson`),
    "the keys cut off after a line": (at) => lines(`${at}/keys.ndjson`, (all) => all.slice(0, -1)),
    "a key taken out": (at) => lines(`${at}/keys.ndjson`, (all) => all.toSpliced(3, 1)),
    "a key altered": (at) => replace(`${at}/keys.ndjson`, '"key":"', '"key":"AAAA'),
    "rubbish for a log": (at, log) => Deno.writeTextFileSync(`${at}/${log}`, "\u0000\u0001\n{}\n"),
    "an empty log": (at, log) => Deno.writeTextFileSync(`${at}/${log}`, ""),
  };
  for (const [name, harm] of Object.entries(harms)) {
    it(`${name}: refused before anything is written`, async () => {
      const harmed = await Deno.makeTempDir({ prefix: "tallybook-test-" });
      try {
        const log = newest();
        for (const file of [log, `${log}.head`, "keys.ndjson"]) {
          await Deno.copyFile(`${folder}/${file}`, `${harmed}/${file}`);
        }
        harm(harmed, log);
        await using target = await empty();
        const run = await restoreInto(target, harmed);
        assertEquals(run.code, 1, run.stderr);
        const [row] = await target.sql<{ events: number; keys: number }[]>`
          select (select count(*) from events) as events, (select count(*) from keys) as keys`;
        assertEquals(row, { events: 0, keys: 0 });
        assertEquals((await readHead(target.sql)).position, 0);
      } finally {
        await Deno.remove(harmed, { recursive: true });
      }
    });
  }

  it("restore into an empty log only", async () => {
    await using target = await empty();
    await prepareProjections(target.sql, projections);
    await sign(target.log, 1);
    assertEquals((await restoreInto(target, folder)).code, 1);
    assertEquals((await readHead(target.sql)).position, 1);
  });

  it("keep the configured number of logs, and report when they cannot write", async () => {
    await sign(source.log, 9001);
    await backup(source.sql, { folder, signing, keep: 1 });
    const logs = [...Deno.readDirSync(folder)].filter(({ name }) => /^log-.*ndjson$/.test(name));
    assertEquals(logs.length, 1);
    await Deno.writeTextFile(`${dir}/file`, "");
    await assertRejects(() => backup(source.sql, { folder: `${dir}/file`, signing }));
  });
});

function cut(path: string, bytes: number): void {
  Deno.truncateSync(path, Deno.statSync(path).size - bytes);
}

function lines(path: string, change: (lines: string[]) => string[]): void {
  const all = Deno.readTextFileSync(path).split("\n").slice(0, -1);
  Deno.writeTextFileSync(path, change(all).map((line) => `${line}\n`).join(""));
}

function replace(path: string, what: string, by: string): void {
  const text = Deno.readTextFileSync(path);
  if (!text.includes(what)) throw new Error(`nothing to alter: ${what}`);
  Deno.writeTextFileSync(path, text.replace(what, by));
}
