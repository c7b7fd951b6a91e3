// deno task bench [NAME [ARGUMENT]]: runs one benchmark, or all of them in sequence; prints tables, stores
// them as JSON, and draws the chart.
import { run, say } from "$src/cli/run.ts";
import { AppError } from "$src/errors.ts";
import { drawChart } from "./chart.ts";
import { benchGrowth } from "./growth.ts";
import { benchHttp } from "./http.ts";
import { benchProfile } from "./profile.ts";
import { benchPromises } from "./promises.ts";
import { benchReplay } from "./replay.ts";
import { benchStart } from "./start.ts";
import { benchStore } from "./store.ts";

const benches: Record<string, (args: string[]) => Promise<void>> = {
  http: benchHttp,
  store: benchStore,
  replay: benchReplay,
  growth: benchGrowth,
  promises: benchPromises,
  start: benchStart,
  profile: benchProfile,
};

await run(async () => {
  const [name, ...args] = Deno.args;
  const chosen = name === undefined ? Object.keys(benches) : [name];
  for (const each of chosen) {
    const bench = benches[each];
    if (bench === undefined) {
      throw new AppError("invalid", `usage: deno task bench [${Object.keys(benches).join("|")}]`);
    }
    say(`== ${each}`);
    await bench(args);
  }
  await drawChart(Object.keys(benches));
});
