// deno task replay [projection...] [--check]: rebuilds read models while the service answers.
import { parseArgs } from "node:util";
import { projections } from "$projections/mod.ts";
import type { Projection } from "$projections/projection.ts";
import { loadConfig } from "../config/config.ts";
import { openDatabase, type Sql } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { checkReplay, replay, type ReplayOptions, withReplayLock } from "../projector/replay.ts";
import { progress } from "./progress.ts";
import { print, run, say } from "./run.ts";

function chosen(names: string[]): Projection[] {
  const unknown = names.find((name) => !projections.some((one) => one.name === name));
  if (unknown) {
    const known = projections.map(({ name }) => name).join(", ");
    throw new AppError("invalid", `no such projection: ${unknown} (there are ${known})`);
  }
  return names.length === 0 ? projections : projections.filter(({ name }) => names.includes(name));
}

/**
 * Two at a time: PostgreSQL fills the bulk-loaded projections by itself while this process decrypts the
 * events for the others, so that neither waits for the other.
 */
async function rebuildAll(sql: Sql, chosen: Projection[], signal: AbortSignal): Promise<void> {
  const bar = progress(chosen.length === 1 ? chosen.map(({ name }) => name).join() : "replay");
  const reached = new Map<string, number>();
  const failed = new AbortController();
  const inTurn = async (some: Projection[]) => {
    for (const projection of some) {
      const onProgress = (done: number, total: number) => {
        reached.set(projection.name, done);
        const all = [...reached.values()].reduce((sum, one) => sum + one, 0);
        bar.update(Math.round(all / chosen.length), total);
      };
      await rebuild(sql, projection, {
        signal: AbortSignal.any([signal, failed.signal]),
        onProgress,
      });
    }
  };
  const lanes = [chosen.filter(({ bulkLoad }) => bulkLoad), chosen.filter((one) => !one.bulkLoad)];
  // A failure aborts the other lane; both have ended before the error is thrown.
  await Promise.all(lanes.map((some) => inTurn(some).catch((error) => failed.abort(error))));
  bar.finish();
  failed.signal.throwIfAborted();
}

async function rebuild(sql: Sql, projection: Projection, options: ReplayOptions): Promise<void> {
  const started = performance.now();
  const position = await replay(sql, projection, options);
  const seconds = (performance.now() - started) / 1000;
  const rate = Math.round(position / seconds).toLocaleString("en");
  say(`${projection.name}: rebuilt up to ${position} in ${seconds.toFixed(1)} s, ${rate} events/s`);
}

async function check(sql: Sql, projection: Projection, signal: AbortSignal): Promise<boolean> {
  const bar = progress(`check ${projection.name}`);
  const differences = await checkReplay(sql, projection, { signal, onProgress: bar.update });
  bar.finish();
  for (const { table, only, row } of differences) await print(`${table}: only ${only}: ${row}\n`);
  await print(`${projection.name}: ${differences.length === 0 ? "equal" : "rows differ"}\n`);
  return differences.length === 0;
}

await run(async (signal) => {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    options: { check: { type: "boolean" } },
    allowPositionals: true,
  });
  const names = chosen(positionals);
  await using database = await openDatabase(loadConfig(), { max: 4, patient: true });
  const { sql } = database;
  try {
    return await withReplayLock(sql, async () => {
      if (!values.check) return await rebuildAll(sql, names, signal);
      let equal = true;
      for (const projection of names) equal = await check(sql, projection, signal) && equal;
      return equal ? 0 : 1;
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    say("interrupted: the old tables stay in use; the same command resumes the replay");
    return 130;
  }
});
