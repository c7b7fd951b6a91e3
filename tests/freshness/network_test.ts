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
import { type DelayProxy, delayProxy, type HoldBack } from "../support/delay_proxy.ts";
import { ownRedis } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

const isLoad = ({ headers }: Request) => headers.has("x-tallybook-load");

describe("between Nginx and the app", () => {
  let stack: Stack;
  let client: CacheStatusClient;
  const proxies: DelayProxy[] = [];
  let holdBack: HoldBack = () => 0;
  const held = () => proxies.reduce((sum, proxy) => sum + proxy.held, 0);

  before(async () => {
    // A long wait: a busy machine must not answer "pending", and the delays under test are longer still.
    stack = await startStack({
      replicas: 2,
      env: { RATE_LIMIT: "off", VISIBLE_WAIT_MS: "3000" },
    });
    client = new CacheStatusClient(stack.url);
    await client.send("POST", "/items", { name: "first" });
    proxies.push(...stack.appUrls.map((url) => delayProxy(url, (request) => holdBack(request))));
    await pointNginxAt(stack, proxies.map(({ port }) => port));
  });
  after(async () => {
    client[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
    for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
  });

  it("a slow load that started before a write is not served after it", async () => {
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
      // The old response is stored by now, under the earlier version.
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
    "no older response survives when responses are delayed at random",
    trial("delayed responses", undefined, async (figure) => {
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

  it("no safe request fails while replicas are killed one after the other", async () => {
    await pointNginxAt(stack, stack.apps.map(({ port }) => port));
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

  it("no write waits for a leader that was stopped in order", async () => {
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

  it("writes go on without Nginx, and Nginx serves nothing stale when it is back", async () => {
    const direct = new CacheStatusClient(stack.appUrls[0] ?? "");
    await waitFor(async () => (await client.get("/items/1")).cache === "HIT");
    await stack.nginx.pause();
    // Answered as pending until the copies in Nginx have expired; after that no write waits for it.
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
  it("no write is answered before a slow invalidation, and no page is built from values yet to be invalidated", async () => {
    await using opened = new AsyncDisposableStack();
    const redis = await ownRedis(opened);
    await using proxy = proxyTo(redis.url, 8);
    await using stack = await startStack({
      replicas: 2,
      env: { RATE_LIMIT: "off", REDIS_URL: proxy.url, VISIBLE_WAIT_MS: "3000" },
    });
    const seen = await freshnessTrial(stack, rounds(120, 2000));
    report(`slow Redis: ${seen.writes} writes; answered after ${distribution(seen.answered)}`);
    assertEquals(seen.stale, []);
  });
});

/** Points Nginx at the app on these ports. */
async function pointNginxAt(stack: Stack, ports: number[]): Promise<void> {
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
