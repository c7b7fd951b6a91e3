// Importing damaged files: each is refused in one clear line and leaves the database as it was, or the
// imported log is a prefix of the original. Never a part of a line, never another log.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import { exportKeys } from "$src/store/key_export.ts";
import { linesOf } from "$src/store/read_lines.ts";
import { migrate } from "$src/store/migrate.ts";
import { readHead } from "$src/store/read.ts";
import { exportEvents, importEvents } from "$src/store/export_import.ts";
import { verifyLog } from "$src/store/verify.ts";
import { LONG, seed } from "../faults/long.ts";
import { random } from "../faults/random.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { trial } from "../support/trial.ts";
import { empty } from "./backends.ts";
import { edited, item, one, signed, visit } from "./events.ts";
import { mangles } from "./mangled.ts";

const ROUNDS = LONG ? 150 : 8;
const HUGE = 100_000_000;

let database: FreshDatabase;
let sql: Sql;
let events: Uint8Array<ArrayBuffer>;
let keys: Uint8Array<ArrayBuffer>;

function sourceOf(bytes: Uint8Array<ArrayBuffer>): AsyncGenerator<string> {
  return linesOf(new Blob([bytes]).stream());
}

async function exported(): Promise<string> {
  let text = "";
  for await (const page of exportEvents(sql, {})) text += page.text;
  return text;
}

async function keysNow(): Promise<string> {
  return (await Array.fromAsync(exportKeys(sql))).join("");
}

async function fill(): Promise<void> {
  const log = new Appender(sql);
  for (let id = 1; id <= 8; id++) {
    await log.append(
      one(`entry-${id}`, { expected: "none", events: [signed(`wörter 🙂 ${id}`, id)] }),
    );
    await log.append(one(`item-${id}`, { events: [item('tab\t \\ " \u2028', id)] }));
    await log.append(one(`entry-${id}`, { expected: 1, events: [edited(`later ${id}`, id)] }));
    await log.append(one("visits-/", { events: [visit(), visit()] }));
  }
}

/** The refusal's message, or undefined. */
async function refusal(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    assert(
      /^[^\p{Cc}]+$/u.test(error.message),
      `not one clear line: ${JSON.stringify(error.message)}`,
    );
    return error.message;
  }
}

async function isUntouched(): Promise<void> {
  assertEquals((await readHead(sql)).position, 0);
  assertEquals([await exported(), await keysNow()], ["", ""]);
}

describe(`importing a damaged file of a log (TEST_SEED=${seed})`, () => {
  before(async () => {
    database = await freshDatabase();
    sql = connect(database.ownerUrl, { max: 3 });
    await migrate(sql);
    await fill();
    events = new TextEncoder().encode(await exported());
    keys = new TextEncoder().encode(await keysNow());
    await empty(sql);
  });
  after(async () => {
    await sql.end({ timeout: 5 });
    await database[Symbol.asyncDispose]();
  });

  const own = () => ({ sql, embedded: false });
  let refused = 0;
  let taken = 0;

  for (const [name, mangle] of Object.entries(mangles)) {
    it(`events with ${name}: refuses the file, or imports a prefix of the log`, async () => {
      const next = random(seed + name.length * 1000);
      const whole = new TextDecoder().decode(events);
      for (let round = 0; round < ROUNDS; round++) {
        const said = await refusal(importEvents(own(), sourceOf(mangle(events, next))));
        if (said !== undefined) {
          refused++;
          assert(/^(line \d+ |[\w-]+ has )/.test(said), said);
          await isUntouched();
          continue;
        }
        taken++;
        assert(whole.startsWith(await exported()), `another log, round ${round}`);
        assertEquals((await verifyLog(sql)).ok, true);
        await empty(sql);
      }
    });

    it(`keys with ${name}: refuses the whole log, or imports damaged keys only`, async () => {
      const next = random(seed + name.length * 1000 + 1);
      for (let round = 0; round < Math.ceil(ROUNDS / 4); round++) {
        const options = { keys: sourceOf(mangle(keys, next)) };
        const said = await refusal(importEvents(own(), sourceOf(events), options));
        if (said !== undefined) {
          assert(said.includes("key file"), said);
          await isUntouched();
          continue;
        }
        assertEquals((await verifyLog(sql)).ok, true);
        await empty(sql);
      }
    });
  }

  it("refuses a line of 100 MB before it has read it all", async () => {
    let given = 0;
    const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        given += 65_536;
        controller.enqueue(new Uint8Array(65_536).fill(120));
        if (given > HUGE) controller.close();
      },
    });
    const said = await refusal(importEvents(own(), linesOf(endless)));
    assert(said?.startsWith("line 1 refused: longer than"), said);
    assert(given < HUGE / 10, `${given} bytes were read`);
    await isUntouched();
  });

  it("refuses a compressed file and names its format", async () => {
    const packed = new Blob([events]).stream().pipeThrough(new CompressionStream("gzip"));
    const said = await refusal(importEvents(own(), linesOf(packed)));
    assert(said?.includes("gzip"), said);
    await isUntouched();
  });

  it(
    "imports the undamaged file unchanged",
    trial("damaged files", seed, async (figure) => {
      const options = { keys: sourceOf(keys) };
      await importEvents(own(), sourceOf(events), options);
      assertEquals(new TextEncoder().encode(await exported()), events);
      assertEquals(new TextEncoder().encode(await keysNow()), keys);
      figure(`${refused} refused, ${taken} taken whole or in whole lines`);
      assertEquals(refused + taken, ROUNDS * Object.keys(mangles).length, "all were tried");
      assert(refused > 0 && taken > 0, "both came about");
    }),
  );
});
