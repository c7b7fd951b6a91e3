// deno task token: replaces the admin token with a new one.
import { loadConfig } from "../config/config.ts";
import { openDatabase } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { setAdminToken } from "../security/secrets.ts";
import { migrate } from "../store/migrate.ts";
import { print, run, say } from "./run.ts";

await run(async () => {
  const config = loadConfig(Deno.args);
  if (config.ADMIN_TOKEN !== undefined) {
    throw new AppError("conflict", "ADMIN_TOKEN is set in the configuration: change it there");
  }
  await using database = await openDatabase(config, { max: 2, patient: true });
  if (database.embedded) await migrate(database.sql);
  say("The new admin token, shown only once; the previous one no longer works:");
  await print(`${await setAdminToken(database.sql)}\n`);
});
