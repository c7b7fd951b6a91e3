// deno task migrate: applies the migrations, and grants the service's role its rights.
import { loadConfig } from "../config/config.ts";
import { connect } from "../connections/postgres.ts";
import { grantService, type Login } from "../store/role_grants.ts";
import { migrate } from "../store/migrate.ts";
import { run, say } from "./run.ts";
import { AppError } from "../errors.ts";

function loginOf(url: string): Login {
  const { username, password } = new URL(url);
  return { role: decodeURIComponent(username), password: decodeURIComponent(password) };
}

await run(async () => {
  const config = loadConfig(Deno.args);
  const url = config.OWNER_DATABASE_URL ?? config.DATABASE_URL;
  if (!url) throw new AppError("invalid", "migrate needs DATABASE_URL; start migrates by itself");
  const sql = connect(url, { max: 2, patient: true, name: "tallybook migrate" });
  try {
    const applied = await migrate(sql);
    say(applied.length > 0 ? `applied ${applied.join(", ")}` : "the database is up to date");
    const service = config.DATABASE_URL ? loginOf(config.DATABASE_URL) : undefined;
    if (service && service.role !== loginOf(url).role) await grantService(sql, service);
  } finally {
    await sql.end({ timeout: 5 });
  }
});
