// deno task sample: adds sample data to a new log.
import { projections } from "$projections/mod.ts";
import { loadConfig } from "../config/config.ts";
import { openDatabase } from "../connections/postgres.ts";
import { prepareProjections } from "../projector/projector.ts";
import { liveHook } from "../projector/projector.ts";
import { addSample, openDefaultPoll } from "../sample_data.ts";
import { Appender } from "../store/appender.ts";
import { migrate } from "../store/migrate.ts";
import { run, say } from "./run.ts";

await run(async () => {
  await using database = await openDatabase(loadConfig(Deno.args), { max: 3, patient: true });
  const { sql, embedded } = database;
  if (embedded) await migrate(sql);
  await prepareProjections(sql, projections);
  const appender = new Appender(sql, { hook: liveHook(projections) });
  await openDefaultPoll(sql, appender);
  await addSample(sql, appender);
  await appender.close();
  say("sample data added: 3 users, 3 entries, 3 items and a poll");
});
