// The alert rules: accepted by Prometheus' own tool, tested with scenarios, and based on existing metrics.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { shell } from "$src/cli/stack/shell.ts";
import { openService, type Service } from "../support/service.ts";

const RULES = new URL("../../src/observability/alerts.yml", import.meta.url).pathname;
const STORIES = new URL("stories.yml", import.meta.url).pathname;

describe("the alert rules", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(() => service[Symbol.asyncDispose]());

  it("use only metrics that /metrics exposes", async () => {
    const client = service.client();
    const answer = await fetch(`${client.url}/metrics`);
    const figures = await answer.text();
    const asked = new Set((await Deno.readTextFile(RULES)).match(/tallybook_[a-z_]+/g));
    assert(asked.size >= 8);
    for (const name of asked) {
      const family = name.replace(/_(count|bucket|sum)$/, "");
      assert(figures.includes(`# TYPE ${family} `), `no such figure: ${name}`);
    }
  });

  it("find positions, counters, durations and pool sizes on /metrics", async () => {
    const figures = await (await fetch(`${service.client().url}/metrics`)).text();
    const wanted = [
      "request_seconds",
      "appends_total",
      "batch_appends",
      "projection_lag",
      "cache_lookups",
      "nginx_failures_total",
      "unhandled_rejections_total",
      "live_listeners",
      "pool_connections",
      "pool_size",
    ];
    for (const name of wanted) assert(figures.includes(`# TYPE tallybook_${name} `), name);
    assert(/^tallybook_projection_lag\{projection="polls"\} 0$/m.test(figures));
    assert(/^tallybook_pool_connections\{state="\w+"\} [1-9]/m.test(figures));
  });

  it("are accepted by promtool", async () => {
    const said = await shell('promtool check rules "$1" 2>&1', RULES);
    assert(said.includes("12 rules found"), said);
  });

  it("fire in the scenario where all is wrong, and in no other", async () => {
    const dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    try {
      await Deno.copyFile(RULES, `${dir}/alerts.yml`);
      await Deno.copyFile(STORIES, `${dir}/stories.yml`);
      const said = await shell('promtool test rules "$1" 2>&1', `${dir}/stories.yml`);
      assertEquals(said.includes("SUCCESS"), true, said);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  });
});
