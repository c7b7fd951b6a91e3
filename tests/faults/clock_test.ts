// The app's clock goes back an hour while it works; the log takes its times from the database's clock.
import { assert } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { startStack } from "$src/cli/stack/mod.ts";
import { connect } from "$src/connections/postgres.ts";
import { startLoad } from "./load.ts";
import { say, seed } from "./long.ts";
import { checkOutcome, healthy } from "./outcome.ts";
import { waitFor } from "../support/until.ts";

describe("an app whose clock is set back an hour", () => {
  it("keeps writing, and the log's times never run backwards", async () => {
    await using stack = await startStack({
      replicas: 1,
      app: "tests/faults/late_clock.ts",
      env: { RATE_LIMIT: "off" },
    });
    await healthy(stack.apps);
    const load = startLoad(stack.url, { seed, clients: 16, readers: 4 });
    await waitFor(() => load.acknowledged > 100, 30_000, "the clients to be at work");
    await stack.apps[0]?.signal("USR2");
    await waitFor(() => stack.keeper.logTail("app-1").includes("an hour back"));
    const before = load.acknowledged;
    await waitFor(() => load.acknowledged > before + 100, 30_000, "the clients to go on");
    await load.stop();
    await checkOutcome(stack.databaseUrl, load);
    const sql = connect(stack.databaseUrl, { max: 1 });
    try {
      const [row] = await sql<{ backwards: number; off: number }[]>`
        select count(*) filter (where at < before) as backwards,
          count(*) filter (where at < clock_timestamp() - interval '30 minutes') as off
        from (select at, lag(at) over (order by position) as before from events) e`;
      assert(row?.backwards === 0 && row.off === 0, JSON.stringify(row));
    } finally {
      await sql.end({ timeout: 5 });
    }
    say(`clock: ${load.acknowledged} acknowledged, half of them with the clock an hour back`);
  });
});
