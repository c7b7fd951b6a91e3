// deno task bench NAME: measures one part beside its limit, prints a table and keeps it as JSON.
import { run } from "$src/cli/run.ts";
import { AppError } from "$src/errors.ts";
import { benchHttp } from "./http.ts";
import { benchReplay } from "./replay.ts";
import { benchStore } from "./store.ts";

const benches: Record<string, (args: string[]) => Promise<void>> = {
  http: benchHttp,
  replay: benchReplay,
  store: benchStore,
};

await run(async () => {
  const [name = "", ...args] = Deno.args;
  const bench = benches[name];
  if (bench === undefined) {
    throw new AppError("invalid", `usage: deno task bench ${Object.keys(benches).join("|")}`);
  }
  await bench(args);
});
