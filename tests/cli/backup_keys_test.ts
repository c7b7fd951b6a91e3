// The backup's key file: a backup that would replace it with a poorer one is refused and changes nothing.
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { backup } from "$src/store/backup.ts";
import { AppError } from "$src/errors.ts";
import { importKeys } from "$src/store/key_export.ts";
import { readStored } from "$src/store/read.ts";
import { exportEvents, importEvents } from "$src/store/export_import.ts";
import { empty, erase, type Own, sign, signing } from "./backups.ts";
import { task } from "./task.ts";

type Site = Own & { dir: string; folder: string };

/** Five entries, and a backup of them. */
async function backedUp(): Promise<Site> {
  const own = await empty();
  await own.sql`insert into settings (name, value) values ('email_key', 'its own')`;
  for (let id = 1; id <= 5; id++) await sign(own.log, id);
  const dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
  const folder = `${dir}/backups`;
  await backup(own.sql, { folder, signing });
  return {
    ...own,
    dir,
    folder,
    async [Symbol.asyncDispose]() {
      await own[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

/** The exact bytes of every file in the folder. */
async function filesIn(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name } of Deno.readDir(folder)) {
    files[name] = await Deno.readTextFile(`${folder}/${name}`);
  }
  return files;
}

async function keyLines(folder: string): Promise<string[]> {
  const text = await Deno.readTextFile(`${folder}/keys.ndjson`);
  return text.split("\n").filter((line) => line.includes("subject"));
}

async function* each(lines: string[]): AsyncGenerator<string> {
  for (const line of lines) yield await Promise.resolve(line);
}

/** The message of a refused backup, which left every file as it was. */
async function refusal({ sql }: Pick<Own, "sql">, folder: string): Promise<string> {
  const before = await filesIn(folder);
  const error = await assertRejects(() => backup(sql, { folder, signing }), AppError);
  assertEquals(await filesIn(folder), before);
  return error.message;
}

const losses: Record<string, { harm: (site: Site) => Promise<unknown>; named: string }> = {
  "one key is gone": {
    harm: ({ sql }) => sql`delete from keys where subject = 'entry-2'`,
    named: "entry-2",
  },
  "all its keys are gone": {
    harm: ({ sql }) => sql`delete from keys where subject <> 'entry-6'`,
    named: "entry-1, entry-2, entry-3",
  },
  "one key is damaged": {
    harm: ({ sql }) =>
      sql`update keys set key = set_byte(key, 7, get_byte(key, 7) # 1) where subject = 'entry-4'`,
    named: "entry-4",
  },
  "two keys are in each other's place": {
    harm: ({ sql }) =>
      sql`update keys k set key = o.key from keys o
        where (k.subject, o.subject) in (('entry-1', 'entry-5'), ('entry-5', 'entry-1'))`,
    named: "entry-1, entry-5",
  },
  "the key of the addresses is another one": {
    harm: ({ sql }) => sql`update settings set value = 'another' where name = 'email_key'`,
    named: "email_key",
  },
};

describe("a backup over an earlier one", () => {
  for (const [name, { harm, named }] of Object.entries(losses)) {
    it(`is refused when ${name}, until that is repaired`, async () => {
      await using site = await backedUp();
      await sign(site.log, 6);
      await harm(site);
      const said = await refusal(site, site.folder);
      assertStringIncludes(said, `: ${named}`);
      assertStringIncludes(said, `${site.folder}/keys.ndjson`);

      await site.sql`delete from keys where subject <> 'entry-6'`;
      await importKeys(site.sql, each(await keyLines(site.folder)));
      await site.sql`update settings set value = 'its own' where name = 'email_key'`;
      const { head } = await backup(site.sql, { folder: site.folder, signing });
      assertEquals([head.position, (await keyLines(site.folder)).length], [6, 6]);
    });
  }

  it("is refused by the task with exit code 1 and a loud message", async () => {
    await using site = await backedUp();
    await site.sql`delete from keys where subject = 'entry-2'`;
    const before = await filesIn(site.folder);
    const env = { DATABASE_URL: site.database.ownerUrl, DATA_DIR: `${site.dir}/data` };
    const run = await task(["backup", site.folder], env);
    assertEquals(run.code, 1);
    assertStringIncludes(run.stderr, "error: backup refused: ");
    assertStringIncludes(run.stderr, "entry-2");
    assertEquals(await filesIn(site.folder), before);
    const elsewhere = await task(["backup", `${site.dir}/other`], env);
    assertEquals(elsewhere.code, 0, elsewhere.stderr);
  });

  it("drops the key of an erased subject, and of no other at the same time", async () => {
    await using site = await backedUp();
    await erase(site.log, 3);
    await site.sql`delete from keys where subject = 'entry-2'`;
    const said = await refusal(site, site.folder);
    assertEquals([said.includes("entry-2"), said.includes("entry-3")], [true, false], said);
    await erase(site.log, 2);
    await backup(site.sql, { folder: site.folder, signing });
    const left = (await keyLines(site.folder)).map((line) => JSON.parse(line).subject);
    assertEquals(left, ["entry-1", "entry-4", "entry-5"]);
  });

  it("is refused where the folder holds another log, though its streams have the same names", async () => {
    await using site = await backedUp();
    await using other = await empty();
    for (let id = 1; id <= 9; id++) await sign(other.log, id);
    await other.sql`insert into settings (name, value) values ('email_key', 'its own')`;
    assertStringIncludes(await refusal(other, site.folder), "another log");
  });

  it("is refused where the folder is ahead of the log", async () => {
    await using site = await backedUp();
    await using older = await empty();
    let text = "";
    for await (const page of exportEvents(site.sql, { until: 3 })) text += page.text;
    await importEvents({ sql: older.sql, embedded: false }, each(text.trim().split("\n")));
    assertEquals((await readStored(older.sql, {})).length, 3);
    assertStringIncludes(await refusal(older, site.folder), "another log");
  });

  it("repairs what is damaged in the folder, if the database has it whole", async () => {
    await using site = await backedUp();
    const path = `${site.folder}/keys.ndjson`;
    const whole = await Deno.readTextFile(path);
    const harms: Record<string, string> = {
      "cut off": whole.slice(0, -120),
      "a key altered": whole.replace('"key":"', '"key":"AAAA'),
      "a subject altered": whole.replace("entry-2", "entry-99"),
      "rubbish": "\u0000\n{}\n[",
      "empty": "",
    };
    for (const [name, text] of Object.entries(harms)) {
      await Deno.writeTextFile(path, text);
      await backup(site.sql, { folder: site.folder, signing });
      assertEquals(await Deno.readTextFile(path), whole, name);
    }
  });

  it("proceeds where the earlier file opens no more than the database does", async () => {
    await using site = await backedUp();
    await sign(site.log, 6);
    await site.sql`delete from keys where subject = 'entry-6'`;
    await backup(site.sql, { folder: site.folder, signing });
    assertEquals((await keyLines(site.folder)).length, 5);
    await sign(site.log, 7);
    await backup(site.sql, { folder: site.folder, signing });
    assertEquals((await keyLines(site.folder)).length, 6);
  });
});
