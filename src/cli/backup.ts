// deno task backup [FOLDER] [--keep N]: backs up the log and its keys while the service runs.
import { parseArgs } from "node:util";
import { backup } from "../store/backup.ts";
import { loadConfig } from "../config/config.ts";
import { openDatabase } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { signingKeyText } from "../security/secrets.ts";
import { parseSigningKey } from "../store/signed_head.ts";
import { progress } from "./progress.ts";
import { run, say } from "./run.ts";

await run(async () => {
  const { values, positionals: [folder = "backups"] } = parseArgs({
    args: Deno.args,
    options: { keep: { type: "string" } },
    allowPositionals: true,
  });
  const keep = values.keep === undefined ? undefined : Number(values.keep);
  if (keep !== undefined && !(Number.isInteger(keep) && keep > 0)) {
    throw new AppError("invalid", `--keep: not a number of backups: ${values.keep}`);
  }
  const config = loadConfig();
  const signing = parseSigningKey(await signingKeyText(config));
  await using database = await openDatabase(config, { max: 2, patient: true });
  const bar = progress("backup");
  const made = await backup(database.sql, { folder, signing, keep, onProgress: bar.update });
  bar.finish();
  say(`backed up ${made.head.position} events: ${made.log}`);
});
