// Freshness when a committing replica, the connection to an Nginx, or an Nginx fails. A read that begins
// after a write was answered, and not as pending, shows that write.
import { assert, assertEquals } from "@std/assert";
import { after, afterEach, before, describe, it } from "@std/testing/bdd";
import { delay } from "$src/async/delay.ts";
import { type ManagedProcess, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { leaderOf } from "../faults/faults.ts";
import { healthy } from "../faults/outcome.ts";
import { CacheStatusClient } from "../support/client.ts";
import { opened } from "../support/database.ts";
import { type Load, underLoad } from "../support/load.ts";
import { report } from "../support/report.ts";
import { waitFor } from "../support/until.ts";
import { type VersionsProxy, versionsProxy } from "../support/versions_proxy.ts";
import { distribution } from "./trial.ts";

/** The longest life of a cached entry, and some room for a busy machine. */
const LIFE_MS = 5000 + 500;
const KILLED_MS = 1000;
const FROZEN_MS = 4000;

describe("a write whose invalidation meets a fault", () => {
  let stack: Stack;
  let client: CacheStatusClient;
  let proxy: VersionsProxy;

  before(async () => {
    proxy = versionsProxy();
    stack = await startStack({
      replicas: 2,
      env: { RATE_LIMIT: "off", NGINX_URL: proxy.url },
    });
    proxy.target = stack.insideUrl;
    client = new CacheStatusClient(stack.url);
    await client.send("POST", "/items", { name: "first" });
    await untilCached();
  });
  afterEach(() => {
    proxy.isCut = false;
    proxy.before = () => {};
  });
  after(async () => {
    client[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });

  const name = async () => JSON.parse((await client.get("/items/1")).text).name;
  /** A read that may reach the frozen replica, so it is given up after 200 ms and tried again. */
  async function nameWithin200Ms(): Promise<unknown> {
    const headers = { accept: "application/json" };
    const signal = AbortSignal.timeout(200);
    return await fetch(`${stack.url}/items/1`, { headers, signal })
      .then(async (response) => (await response.json()).name, () => undefined);
  }
  const untilCached = () => waitFor(async () => (await client.get("/items/1")).cache === "HIT");
  const more = (load: Load, count: number) => {
    const from = load.writes.length;
    return waitFor(() => load.writes.length >= from + count, 60_000);
  };

  /**
   * Runs `lose` when the replica has committed but has not raised any version. Returns how long
   * after that readers saw the write.
   */
  async function faultBeforeRaise(
    app: ManagedProcess,
    lose: () => Promise<void>,
  ): Promise<number> {
    await untilCached();
    const raising = Promise.withResolvers<void>();
    const lost = Promise.withResolvers<void>();
    let isFirst = true;
    proxy.before = async (body) => {
      if (!isFirst || !body.includes("/items/1")) return;
      isFirst = false;
      raising.resolve();
      await lost.promise;
      return "lose";
    };
    const written = `written and lost ${crypto.randomUUID()}`;
    const direct = new CacheStatusClient(`http://127.0.0.1:${app.port}`);
    const answer = direct.send("PUT", "/items/1", { name: written }).catch(() => undefined);
    await raising.promise;
    await using database = opened(stack.ownerDatabaseUrl, 1);
    const rows = await database.sql`select from read.items where name = ${written}`;
    assertEquals(rows.length, 1, "it is committed");
    const began = performance.now();
    await lose();
    lost.resolve();
    await waitFor(async () => await nameWithin200Ms() === written, 10_000);
    const took = performance.now() - began;
    void answer;
    direct[Symbol.dispose]();
    return took;
  }

  async function replica(role: "leader" | "follower"): Promise<ManagedProcess> {
    await healthy(stack.apps);
    const leader = await waitFor(async () => {
      const found = await leaderOf(stack);
      return found >= 0 && { found };
    });
    const app = stack.apps[role === "leader" ? leader.found : 1 - leader.found];
    if (app === undefined) throw new Error("two replicas were asked for");
    return app;
  }

  for (const role of ["leader", "follower"] as const) {
    it(`is visible within a second when the replica that committed it (the ${role}) is killed`, async () => {
      const app = await replica(role);
      await using _started = { [Symbol.asyncDispose]: () => app.start() };
      const took = await faultBeforeRaise(app, () => app.kill());
      report(
        `${role} killed between commit and invalidation: visible after ${Math.round(took)} ms`,
      );
      assert(took < KILLED_MS, `${took} ms`);
    });

    it(`is visible within four seconds when the replica that committed it (the ${role}) is frozen`, async () => {
      const app = await replica(role);
      await using _resumed = { [Symbol.asyncDispose]: () => app.resume() };
      const took = await faultBeforeRaise(app, () => app.pause());
      report(
        `${role} frozen between commit and invalidation: visible after ${Math.round(took)} ms`,
      );
      assert(took < FROZEN_MS, `${took} ms`);
    });
  }

  it("is seen by every reader while the connection to Nginx is repeatedly cut for a second", async () => {
    const load = await underLoad(stack, async (load) => {
      for (let round = 0; round < 3; round++) {
        await more(load, 5);
        proxy.isCut = true;
        await delay(1000);
        proxy.isCut = false;
        await waitFor(async () => await isVisible());
      }
      await more(load, 5);
    });
    report(
      `connection cut for 1 s: ${load.pending} of ${load.writes.length} writes pending; writes ` +
        distribution(load.writes),
    );
    assertEquals(load.stale, []);
    assertEquals(load.failed, []);
  });

  const isVisible = async () =>
    (await client.send("PUT", "/items/1", { name: "probe" })).headers.get("tallybook-visible") ===
      null;

  it("stops waiting for an Nginx unreachable for 20 s, and raises all its versions on its return", async () => {
    await untilCached();
    proxy.isCut = true;
    const began = performance.now();
    const answers: { at: number; visible: boolean; ms: number }[] = [];
    for (let turn = 0; performance.now() - began < 20_000; turn++) {
      const asked = performance.now();
      const written = await client.send("PUT", "/items/1", { name: `cut ${turn}` });
      const visible = written.headers.get("tallybook-visible") === null;
      answers.push({ at: asked - began, visible, ms: performance.now() - asked });
      // Readers of that Nginx see values at most one entry's life old.
      const due = answers.length;
      const before = performance.now();
      await waitFor(async () => Number((await name()).match(/\d+$/)) >= due - 1, LIFE_MS);
      assert(performance.now() - before < LIFE_MS);
      await delay(100);
    }
    const excused = answers.filter(({ at }) => at > 8000);
    assert(excused.length > 0);
    assertEquals(excused.filter(({ visible, ms }) => !visible || ms > 1000), []);
    const raised = proxy.raisedAll;
    proxy.isCut = false;
    await waitFor(() => proxy.raisedAll > raised);
    const last = await client.send("PUT", "/items/1", { name: "back again" });
    assertEquals(last.headers.get("tallybook-visible"), null);
    assertEquals(await name(), "back again");
    await untilCached();
  });

  it("is seen by every reader while Nginx is reloaded and restarted", async () => {
    const load = await underLoad(stack, async (load) => {
      for (let round = 0; round < 4; round++) {
        await more(load, 10);
        await stack.nginx.signal("HUP");
        await more(load, 10);
      }
    }, { onlyNginx: true });
    assertEquals(load.stale, []);
    assertEquals(load.failed, []);
    // Nginx' files survive the restart; its versions begin again at zero.
    for (let round = 0; round < 3; round++) {
      await untilCached();
      const direct = new CacheStatusClient(stack.appUrls[0] ?? "");
      await stack.nginx.kill();
      await direct.send("PUT", "/items/1", { name: `restarted ${round}` });
      await stack.nginx.start();
      assertEquals(await name(), `restarted ${round}`);
      direct[Symbol.dispose]();
    }
  });
});
