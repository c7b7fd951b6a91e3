// Opens the log for a task. Migrates an embedded database; refuses any other that is not migrated.
import type { Config } from "../config/config.ts";
import { type Database, openDatabase } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { checkMigrated, migrate } from "../store/migrate.ts";

export async function openLog(config: Config, max: number): Promise<Database> {
  const database = await openDatabase(config, { max, patient: true });
  try {
    await ensureMigrated(database);
    return database;
  } catch (error) {
    await database[Symbol.asyncDispose]();
    throw error;
  }
}

async function ensureMigrated({ sql, embedded }: Database): Promise<void> {
  if (embedded) await migrate(sql);
  else if (await checkMigrated(sql) === "behind") {
    throw new AppError("conflict", "the database is behind this code: run deno task migrate");
  }
}
