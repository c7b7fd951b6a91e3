// deno task restore [FOLDER]: restores a folder's newest backup into an empty log, then verifies it.
import { parseArgs } from "node:util";
import { projections } from "$projections/mod.ts";
import { restore } from "../store/backup.ts";
import { loadConfig } from "../config/config.ts";
import { openDatabase } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { catchUp, prepareProjections } from "../projector/projector.ts";
import { migrate } from "../store/migrate.ts";
import { verifyLog } from "../store/verify.ts";
import { progress } from "./progress.ts";
import { run, say } from "./run.ts";

await run(async () => {
  const { positionals: [folder = "backups"] } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
  });
  await using database = await openDatabase(loadConfig(), { max: 4, patient: true });
  if (database.embedded) await migrate(database.sql);
  const bar = progress("restore");
  const { events, keys, head } = await restore(database, folder, (_, done, total) => {
    bar.update(done, total);
  });
  await prepareProjections(database.sql, projections);
  for (const projection of projections) await catchUp(database.sql, projection);
  const verdict = await verifyLog(database.sql, { saved: head, onProgress: bar.update });
  bar.finish();
  if (!verdict.ok) {
    throw new AppError("conflict", `restored, and position ${verdict.position} does not fit`);
  }
  const [first] = verdict.unreadable ?? [];
  if (first) {
    const where = `the key of ${first.subject} does not decrypt position ${first.position}`;
    throw new AppError("conflict", `restored and intact, but ${where}: deno task verify lists all`);
  }
  say(`restored ${events} events and ${keys} keys; verified up to seal ${verdict.head.seal}`);
});
