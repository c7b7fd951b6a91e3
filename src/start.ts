// Prepares the database before the first request: waits for it, migrates it where allowed, and
// brings the read models to the head.
import { projections } from "$projections/mod.ts";
import type { Config } from "./config/config.ts";
import { connect, type Database, isConnectionError } from "./connections/postgres.ts";
import { AppError, reason } from "./errors.ts";
import { delay } from "./async/delay.ts";
import { log } from "./log.ts";
import { catchUp, prepareProjections } from "./projector/projector.ts";
import { replay, withReplayLock } from "./projector/replay.ts";
import { checkMigrated, migrate } from "./store/migrate.ts";

const LOOK_MS = 500;
const SAY_EVERY = 10;

export async function prepare(
  config: Config,
  database: Database,
  signal: AbortSignal,
): Promise<void> {
  await waitForDatabase(database, signal);
  if (signal.aborted) return;
  await migrateIfAllowed(config, database);
  const changed = await prepareProjections(database.sql, projections);
  for (const projection of projections.filter(({ name }) => changed.includes(name))) {
    log.info("projection.rebuild", { projection: projection.name });
    await withReplayLock(database.sql, () => replay(database.sql, projection));
  }
  for (const projection of projections) await catchUp(database.sql, projection);
}

/** A service that starts before its database waits, and logs that. */
async function waitForDatabase({ sql }: Database, signal: AbortSignal): Promise<void> {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      await sql`select 1`;
      return;
    } catch (error) {
      // Includes 57P03: the server is up and still starting.
      if (!isConnectionError(error)) throw error;
      if (tries % SAY_EVERY === 0) log.warn("database.waiting", { error: reason(error) });
      await delay(LOOK_MS, signal);
    }
  }
}

async function migrateIfAllowed(config: Config, { sql, embedded }: Database): Promise<void> {
  if (embedded) {
    await migrate(sql);
    return;
  }
  if (await checkMigrated(sql) === "current") return;
  const owner = config.OWNER_DATABASE_URL;
  const own = owner === undefined ? undefined : connect(owner, { max: 1, patient: true });
  try {
    const applied = await migrate(own ?? sql);
    if (applied.length > 0) log.info("database.migrated", { applied: applied.join(", ") });
  } catch (error) {
    if (error instanceof AppError) throw error;
    const why = `the database is not migrated, and this role may not: ${reason(error)}`;
    throw new AppError("unavailable", `${why}: run deno task migrate`);
  } finally {
    await own?.end();
  }
}
