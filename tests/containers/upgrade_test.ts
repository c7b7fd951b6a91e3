// Scaling while the system runs, and upgrading without downtime.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { waitFor } from "../support/until.ts";
import { lost, startLoad } from "./load.ts";
import { inspect, must, report, ROOT, run, System } from "./system.ts";

const COPIED =
  "Dockerfile .dockerignore CONTRIBUTING.md docs compose.yaml nginx.conf deno.json deno.lock src events " +
  "projections migrations tests";

describe("scaling and upgrading", () => {
  let system: System;
  let copy: string;
  before(async () => {
    copy = await Deno.makeTempDir({ prefix: "tallybook-upgrade-" });
    await must(["cp", "-r", ...COPIED.split(" "), copy], { cwd: ROOT });
    system = await System.up({ cwd: copy, env: { TALLYBOOK_IMAGE: "tallybook-test-upgrade" } });
  });
  after(async () => {
    await system[Symbol.asyncDispose]();
    await run(["docker", "rmi", "-f", "tallybook-test-upgrade"]);
    await Deno.remove(copy, { recursive: true });
  });

  /** The replicas that Nginx used, according to its access log and the app's. */
  async function servers(lines: number): Promise<Set<string>> {
    const { text } = await system.exec(
      "app",
      "tail",
      "-n",
      String(lines),
      "/var/log/tallybook/access.log",
    );
    const found = text.matchAll(/"upstream":"([\d.]+):8000"/g);
    return new Set([...found].map(([, address = ""]) => address));
  }

  it("sends new replicas their share of requests within 10 seconds", async () => {
    const load = startLoad(system.url, { writers: 2, readers: 4 });
    await waitFor(() => load.acknowledged.length > 20, 20_000, "writes");
    await system.compose("up", "-d", "--no-recreate", "--scale", "app=3");
    const ids = (await system.containers("app")).map(({ id }) => id);
    assertEquals(ids.length, 3);
    const isHealthy = async (id: string) =>
      await inspect(id, "{{.State.Health.Status}}") === "healthy";
    await waitFor(
      async () => (await Promise.all(ids.map(isHealthy))).every(Boolean),
      30_000,
      "health",
    );
    const since = performance.now();
    await waitFor(async () => (await servers(100)).size === 3, 10_000, "all three to answer");
    report(`new replicas had their share ${Math.round(performance.now() - since)} ms after health`);
    await load.stop();
    assertEquals(load.failedReads.slice(0, 8), []);
    assertEquals(await lost(system.url, load), []);
  });

  it("fails no safe request when a replica is removed", async () => {
    const load = startLoad(system.url, { writers: 2, readers: 4 });
    await waitFor(() => load.acknowledged.length > 20, 20_000, "writes");
    await system.compose("up", "-d", "--no-recreate", "--scale", "app=2");
    await waitFor(async () => (await servers(60)).size === 2, 20_000, "two to answer");
    await load.stop();
    assertEquals(load.failedReads.slice(0, 8), []);
    assertEquals(await lost(system.url, load), []);
  });

  it("upgrades replica by replica, with one more migration, and fails no safe request", async () => {
    const old = (await system.containers("app")).map(({ id }) => id);
    await Deno.writeTextFile(
      `${copy}/migrations/0900_trial.sql`,
      "create table upgrade_trial (x int);\n",
    );
    const health = `${copy}/src/routes/health.ts`;
    const text = await Deno.readTextFile(health);
    const changed = text.replace(
      'c.json({ status: "alive" })',
      'c.json({ status: "alive", trial: 1 })',
    );
    assert(text !== changed);
    await Deno.writeTextFile(health, changed);

    const load = startLoad(system.url, { writers: 2, readers: 6 });
    await waitFor(() => load.acknowledged.length > 20, 20_000, "writes");
    const started = performance.now();
    const { code, text: said, errors } = await run(
      ["sh", "src/cli/deploy/upgrade.sh"],
      { cwd: copy, env: system.env },
    );
    const seconds = ((performance.now() - started) / 1000).toFixed(0);
    await load.stop();
    assertEquals(code, 0, said + errors);
    assertMatch(said, /upgrade: done, 2 replicas/);
    report(`upgraded two replicas in ${seconds} s, image build and its tests included`);
    report(
      `${load.reads} reads, ${load.failedReads.length} failed, ${load.askedAgain} asked again; ` +
        `${load.acknowledged.length} writes acknowledged, ${load.refused} refused`,
    );

    assertEquals(load.failedReads.slice(0, 8), []);
    assertEquals(await lost(system.url, load), []);
    const now = (await system.containers("app")).map(({ id }) => id);
    assertEquals(now.length, 2);
    assertEquals(now.filter((id) => old.includes(id)), []);
    for (let asked = 0; asked < 6; asked++) {
      const answer = await fetch(`${system.url}/health/live?${asked}`);
      assertEquals(await answer.json(), { status: "alive", trial: 1 });
    }
    const applied = await system.exec(
      "postgres",
      "psql",
      "-U",
      "owner",
      "-d",
      "tallybook",
      "-tAX",
      "-c",
      "select name from migrations order by number desc limit 1",
    );
    assertEquals(applied.text, "0900_trial.sql");
  });

  it("leaves the replicas alone when the new one does not become healthy", async () => {
    const old = (await system.containers("app")).map(({ id }) => id).sort();
    const env = { ...system.env, UPGRADE_WITHIN_SECONDS: "12" };
    const broken = `${copy}/src/main.ts`;
    await Deno.writeTextFile(broken, "Deno.exit(7);\n");
    const { code, errors } = await run(["sh", "src/cli/deploy/upgrade.sh"], { cwd: copy, env });
    assertEquals(code, 1);
    assertMatch(errors, /the replicas that were there serve on/);
    assertEquals((await system.containers("app")).map(({ id }) => id).sort(), old);
    await system.answers();
  });
});
