import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { upstreamServers } from "$src/cli/stack/nginx.ts";
import { distribution, freshnessTrial } from "./trial.ts";
import { CacheStatusClient } from "../support/client.ts";
import { underLoad } from "../support/load.ts";
import { proxyTo } from "../support/proxy.ts";
import { report } from "../support/report.ts";
import { trial } from "../support/trial.ts";
import { rounds } from "../support/rounds.ts";
import { type HoldBack, type SlowWay, slowWay } from "../support/slow_way.ts";
import { ownRedis } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

const isLoad = ({ headers }: Request) => headers.has("x-tallybook-load");

describe("between Nginx and the app", () => {
  let stack: Stack;
  let client: CacheStatusClient;
  const ways: SlowWay[] = [];
  let holdBack: HoldBack = () => 0;
  const held = () => ways.reduce((sum, way) => sum + way.held, 0);

  before(async () => {
    // Patient: a busy machine is no reason for "pending", and what is tested takes longer still.
    stack = await startStack({
      replicas: 2,
      env: { RATE_LIMIT: "off", VISIBLE_WAIT_MS: "3000" },
    });
    client = new CacheStatusClient(stack.url);
    await client.send("POST", "/items", { name: "first" });
    ways.push(...stack.appUrls.map((url) => slowWay(url, (request) => holdBack(request))));
    await leadTo(stack, ways.map(({ port }) => port));
  });
  after(async () => {
    client[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
    for (const way of ways) await way[Symbol.asyncDispose]();
  });

  it("a reader's load that is held back and lands after a write is not what the next one gets", async () => {
    for (let round = 0; round < rounds(15, 100); round++) {
      holdBack = () => 0;
      const { id } = JSON.parse((await client.send("POST", "/items", { name: "old" })).text);
      const before = held();
      let left = 1;
      holdBack = (request) =>
        isLoad(request) && request.url.endsWith(`/items/${id}`) && left-- > 0 ? 200 : 0;
      using slow = new CacheStatusClient(stack.url);
      const reading = slow.get(`/items/${id}`);
      await waitFor(() => held() > before);
      const written = await client.send("PUT", `/items/${id}`, { name: "new" });
      assertEquals(written.headers.get("tallybook-visible"), null, `round ${round}`);
      const next = await client.get(`/items/${id}`);
      assertEquals(JSON.parse(next.text).name, "new", `round ${round}, ${next.cache}`);
      await reading;
      // The old answer is stored by now, under the version of before.
      const seen: string[] = [];
      const kept = await waitFor(async () => {
        const answer = await client.get(`/items/${id}`);
        seen.push(JSON.parse(answer.text).name);
        return answer.cache === "HIT" && answer;
      });
      assertEquals(seen.filter((name) => name !== "new"), [], `round ${round}`);
      assert(kept.position >= written.position);
    }
    holdBack = () => 0;
  });

  it(
    "no older answer survives where every answer takes its own time",
    trial("slow ways", undefined, async (figure) => {
      holdBack = () => Math.random() < 0.2 ? Math.random() * 30 : 0;
      const seen = await freshnessTrial(stack, rounds(120, 2000));
      holdBack = () => 0;
      figure(
        `${seen.writes} writes, ${seen.stale.length} stale; answered after ` +
          distribution(seen.answered),
      );
      assertEquals(seen.stale, []);
    }),
  );

  it("no safe request fails while replicas are killed, one after the other", async () => {
    await leadTo(stack, stack.apps.map(({ port }) => port));
    const load = await underLoad(stack, async (load) => {
      for (const app of stack.apps) {
        const from = load.reads.length;
        await waitFor(() => load.reads.length > from + 200);
        await app.kill();
        await waitFor(() => load.reads.length > from + 600);
        await app.start();
      }
    }, { onlyNginx: true });
    report(
      `replicas killed: reads ${distribution(load.reads)}, ${load.pending} of ` +
        `${load.writes.length} writes pending`,
    );
    assertEquals(load.failed.filter((failure) => failure.startsWith("GET")), []);
    assertEquals(load.stale, []);
  });

  it("no write waits for a leader that ended in order", async () => {
    for (const app of stack.apps) {
      await waitFor(async () => (await client.get("/items/1")).cache === "HIT");
      await app.stop();
      await using _started = { [Symbol.asyncDispose]: () => app.start() };
      const name = `after ${app.name}.`;
      const written = await waitFor(async () => {
        const answer = await client.send("PUT", "/items/1", { name });
        return answer.status === 200 && answer;
      });
      assertEquals(written.headers.get("tallybook-visible"), null);
      assert((await client.get("/items/1")).text.includes(name));
    }
  });

  it("writes go on without Nginx, and nothing stale is left when it is back", async () => {
    const direct = new CacheStatusClient(stack.appUrls[0] ?? "");
    await waitFor(async () => (await client.get("/items/1")).cache === "HIT");
    await stack.nginx.pause();
    // Answered as pending until its copies have ended; after that no writer waits for it any more.
    const name = "written while Nginx hung";
    assertEquals((await direct.send("PUT", "/items/1", { name })).status, 200);
    await waitFor(async () => {
      const { headers } = await direct.send("PUT", "/items/1", { name: `${name}, again` });
      return headers.get("tallybook-visible") === null;
    }, 15_000);
    const began = performance.now();
    const last = await direct.send("PUT", "/items/1", { name: `${name}, again and again` });
    assertEquals(last.headers.get("tallybook-visible"), null);
    assert(performance.now() - began < 2000);
    await stack.nginx.resume();
    const newest = JSON.parse((await direct.get("/items/1")).text).name;
    assertEquals(JSON.parse((await client.get("/items/1")).text).name, newest);
    const metrics = await Promise.all(
      stack.appUrls.map((url) => fetch(`${url}/metrics`).then((answer) => answer.text())),
    );
    const failures = /^tallybook_nginx_failures_total\{nginx="[^"]+"\} [1-9]/m;
    assert(metrics.some((text) => failures.test(text)));
    await waitFor(async () => (await client.get("/items/1")).cache === "HIT");
    direct[Symbol.dispose]();
  });
});

describe("between the app and Redis", () => {
  it("no write is answered before slow drops, and no page is made of what they had yet to drop", async () => {
    await using opened = new AsyncDisposableStack();
    const redis = await ownRedis(opened);
    await using way = proxyTo(redis.url, 8);
    await using stack = await startStack({
      replicas: 2,
      env: { RATE_LIMIT: "off", REDIS_URL: way.url, VISIBLE_WAIT_MS: "3000" },
    });
    const seen = await freshnessTrial(stack, rounds(120, 2000));
    report(`slow Redis: ${seen.writes} writes; answered after ${distribution(seen.answered)}`);
    assertEquals(seen.stale, []);
  });
});

/** Has Nginx find the app at these ports from now on. */
async function leadTo(stack: Stack, ports: number[]): Promise<void> {
  await Deno.writeTextFile(`${stack.dir}/nginx/run/upstream.conf`, upstreamServers(ports));
  await stack.nginx.signal("HUP");
  await waitFor(async () => {
    const asked = await Promise.all(
      Array.from({ length: 8 }, () => fetch(`${stack.url}/items?${crypto.randomUUID()}`)),
    );
    for (const { body } of asked) await body?.cancel();
    const log = (await Deno.readTextFile(stack.accessLog)).trimEnd().split("\n").slice(-8);
    return log.every((line) => ports.includes(Number(JSON.parse(line).upstream.split(":")[1])));
  });
}
