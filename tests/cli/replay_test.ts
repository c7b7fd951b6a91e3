// Rebuilds all read models by one command, two at a time: a failure or interruption of one ends the other,
// is reported once, and the command can be resumed.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { projections } from "$projections/mod.ts";
import { projectionStates } from "$src/projector/projector.ts";
import { meta, signed } from "../store/events.ts";
import { openLog, type ProjectedLog, readTables } from "../projections/log.ts";
import { waitFor } from "../support/until.ts";
import { spawnTask, task } from "./task.ts";

const EACH = 300;
const names = projections.map(({ name }) => name).sort();

let dir: string;
let log: ProjectedLog;
let env: Record<string, string>;

before(async () => {
  dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
  log = await openLog();
  env = { DATABASE_URL: log.url, DATA_DIR: `${dir}/data` };
  const streams = Array.from({ length: EACH }, (_, i) => [
    {
      stream: `item-${i + 1}`,
      expected: "none" as const,
      events: [{
        type: "ItemCreated" as const,
        data: { id: i + 1, name: "an item", description: "" },
      }],
    },
    { stream: `entry-${i + 1}`, expected: "none" as const, events: [signed("hello", i + 1)] },
  ]);
  await log.appender.append({ streams: streams.flat(), meta });
});

after(async () => {
  await log[Symbol.asyncDispose]();
  await Deno.remove(dir, { recursive: true });
});

function rebuilt(stderr: string): string[] {
  return [...stderr.matchAll(/^(\w+): rebuilt up to/gm)].map(([, name = ""]) => name).sort();
}

describe("replay", () => {
  it("rebuilds every projection and reports each", async () => {
    const before = await readTables(log.sql);
    const { code, stdout, stderr } = await task(["replay"], env);
    assertEquals([code, stdout], [0, ""], stderr);
    assertEquals(rebuilt(stderr), names);
    assertEquals(await readTables(log.sql), before);
  });

  it("ends when interrupted, and resumes with those that are left", async () => {
    const before = await readTables(log.sql);
    const holder = await log.sql.reserve();
    await holder`begin`;
    await holder`select from read.projections where name = 'guestbook' for update`;
    const child = spawnTask(["replay"], env);
    const ended = child.output();
    // The other lane finishes meanwhile.
    await waitFor(async () => {
      const states = await projectionStates(log.sql);
      const waiting = await log.sql`
        select from pg_stat_activity
        where wait_event_type = 'Lock' and datname = current_database()`;
      return waiting.length === 1 && states.every(({ rebuild }) => rebuild === null);
    });
    child.kill("SIGINT");
    // The signal arrives before the lock is released, so the process handles it in its next step.
    await task(["replay", "nothing"], env);
    await holder`rollback`;
    holder.release();
    const { code, stderr } = await ended;
    const said = new TextDecoder().decode(stderr);
    assertEquals(code, 130, said);
    assertEquals(said.match(/^interrupted: /gm)?.length, 1, said);
    assert(!rebuilt(said).includes("guestbook"), said);
    assertEquals(await readTables(log.sql), before);
    assertEquals((await task(["replay"], env)).code, 0);
    assertEquals(await readTables(log.sql), before);
  });

  it("ends as a whole when one projection cannot be rebuilt, with that one's reason", async () => {
    const before = await readTables(log.sql);
    await log.sql`
      with head as (update counter set position = position + 1 returning position)
      insert into events (position, stream, version, type, data, meta, at, seal)
      select position, 'entry-x', 1, 'EntrySigned', '{"id": "x"}', '{}', now(), '' from head`;
    const { code, stderr } = await task(["replay"], env);
    assertEquals(code, 1, stderr);
    const reasons = stderr.match(/^error: .*$/gm) ?? [];
    assertEquals(reasons.length, 1, stderr);
    assertMatch(reasons.join(), /does not fit EntrySigned/);
    assertEquals(await readTables(log.sql), before);
  });
});
