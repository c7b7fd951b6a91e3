import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import postgres from "postgres";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { readLog } from "../support/access_log.ts";
import { CacheStatusClient, type CacheStatusResponse } from "../support/client.ts";
import { waitFor } from "../support/until.ts";

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

describe("the service behind both caches", () => {
  let stack: Stack;
  let client: CacheStatusClient;

  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
    client = new CacheStatusClient(stack.url);
  });
  after(async () => {
    client[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
  });

  const hit = (path: string, accept?: string): Promise<CacheStatusResponse> =>
    waitFor(async () => {
      const answer = await client.get(path, accept);
      return answer.cache === "HIT" && answer;
    });

  it("answers MISS, then HIT, and the new value after a write", async () => {
    const { id } = JSON.parse((await client.send("POST", "/items", { name: "before" })).text);
    const first = await client.get(`/items/${id}`);
    assertEquals([first.cache, JSON.parse(first.text).name], ["MISS", "before"]);
    const second = await hit(`/items/${id}`);
    assertEquals(second.text, first.text);
    const written = await client.send("PUT", `/items/${id}`, { name: "after" });
    assertEquals(written.headers.get("tallybook-visible"), null);
    const third = await client.get(`/items/${id}`);
    assertEquals([third.cache, JSON.parse(third.text).name], ["MISS", "after"]);
    assert(third.position >= written.position);
    await client.send("DELETE", `/items/${id}`);
    assertEquals((await client.get(`/items/${id}`)).status, 404);
  });

  it("serves a script to another site from the copy stored for a request without an Origin", async () => {
    const page = await client.get("/", BROWSER);
    const [script = ""] = page.text.match(/\/assets\/app\.\w+\.js/) ?? [];
    await waitFor(async () => (await client.get(script)).cache === "HIT");
    const foreign = { origin: "https://elsewhere.example" };
    const answer = await client.ask(script, { headers: foreign });
    assertEquals([answer.cache, answer.headers.get("access-control-allow-origin")], ["HIT", "*"]);
  });

  it("stores a page for readers whose If-None-Match already matches", async () => {
    const { id } = JSON.parse((await client.send("POST", "/items", { name: "known" })).text);
    const headers = { accept: "application/json", "if-none-match": '"1"' };
    const first = await client.ask(`/items/${id}`, { headers });
    assertEquals([first.status, first.cache], [304, "MISS"]);
    await waitFor(async () => {
      const { status, cache } = await client.ask(`/items/${id}`, { headers });
      return status === 304 && cache === "HIT";
    });
  });

  it("answers 200 for a record created after a cached 404", async () => {
    const next = Number(JSON.parse((await client.send("POST", "/users", person("a"))).text).id) + 1;
    assertEquals((await client.get(`/users/${next}`)).status, 404);
    assertEquals((await client.get(`/users/${next}`)).status, 404);
    assertEquals((await client.send("POST", "/users", person("b"))).status, 201);
    assertEquals((await client.get(`/users/${next}`)).status, 200);
  });

  it("loads a cold key from PostgreSQL once for a thousand clients", async () => {
    await using log = await statementLog(stack);
    const loads = async (name: string) => {
      const { id } = JSON.parse((await client.send("POST", "/users", person(name))).text);
      const before = await log.count(LOAD);
      const asked = Array.from(
        { length: 1000 },
        (_, i) => fetch(`${stack.appUrls[i % 2]}/users/${id}`).then((response) => response.json()),
      );
      const names = new Set((await Promise.all(asked)).map(({ name }) => name));
      assertEquals([...names], [name]);
      return await log.count(LOAD) - before;
    };
    // A reader waits half a second for another replica's load, and not at all without Redis or its lease:
    // on a busy machine a round may prove nothing. Without the shared lock each has two loads at least.
    const counts: number[] = [];
    while (counts.at(-1) !== 1 && counts.length < 10) {
      counts.push(await loads(`cold${counts.length}`));
    }
    assertEquals(counts.at(-1), 1, `loads in each round: ${counts}`);
  });

  it("neither mixes up responses nor fills the cache with odd requests", async () => {
    const { id } = JSON.parse((await client.send("POST", "/users", person("trick"))).text);
    const page = await hit(`/users/${id}`, BROWSER);
    const json = await hit(`/users/${id}`);
    await hit(`/users/${id}`, "*/*");
    const before = (await cachedFiles(stack)).size;
    for (let i = 0; i < 100; i++) {
      await client.get(`/users/${id}?x=${i}`);
      await client.get(`/users/${"0".repeat(i % 10 + 1)}${id}`);
      await client.get(`/nowhere/${i}`);
      await client.get(`/users/${id}`, `application/json;q=0.${i}, text/plain`);
      await client.ask(`/users/${id}`, {
        headers: { "x-tallybook-load": "1", "x-tallybook-target": `/users/${id}?y=${i}` },
      });
    }
    await client.get(`/users/%3${id}`);
    await client.get(`//users/${id}`);
    assert((await client.get(`/${"x".repeat(20_000)}`)).status === 414);
    assert((await cachedFiles(stack)).size <= before, "nothing more is stored");
    const old = await raw(stack, `GET /users/${id} HTTP/1.0\r\n\r\n`);
    assertMatch(old, /^HTTP\/1\.1 200/);
    const odd = await raw(
      stack,
      `GET /feed.atom HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
    );
    assertMatch(odd, /X-Cache-Status: MISS/i);
    assert(!(await client.get("/feed.atom")).text.includes("evil.example"));
    const part = await client.ask(`/users/${id}`, {
      headers: { accept: "application/json", range: "bytes=0-3" },
    });
    assert(part.status === 206 || part.status === 200);
    assertEquals((await hit(`/users/${id}`, BROWSER)).text, page.text);
    assertEquals((await hit(`/users/${id}`)).text, json.text);
    assertNotEquals(page.text, json.text);
  });

  it("streams events through Nginx as they happen", async () => {
    const over = new AbortController();
    const response = await fetch(`${stack.url}/entries/live`, { signal: over.signal });
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    let heard = "";
    const listening = (async () => {
      const text = response.body?.pipeThrough(new TextDecoderStream()) ?? [];
      for await (const part of text) heard += part;
    })().catch(() => {});
    await waitFor(async () => {
      await client.send("POST", "/sign", { name: "live", message: "now" });
      return heard.includes("id:");
    });
    over.abort();
    await listening;
  });

  it("counts one view for each line of the access log, up to the last", async () => {
    for (let i = 0; i < 40; i++) {
      await client.get("/", i % 2 ? BROWSER : "application/json");
      if (i % 4 === 0) await client.get("/users", BROWSER);
      await client.get("/users", "application/json");
      await client.ask("/", { method: "HEAD" });
    }
    const lines = await readLog(stack.accessLog);
    const views = (page: string) =>
      lines.filter(({ method, uri, status, type }) =>
        method === "GET" && uri === page && (status === 200 || status === 304) &&
        (page === "/" || type.startsWith("text/html"))
      ).length;
    assert(views("/") >= 40 && views("/users") >= 10);
    for (const page of ["/", "/users"]) {
      await waitFor(async () => await visits(client, page) === views(page));
    }
  });

  it("reports the hit rates of the access log, up to the last request", async () => {
    const counted = await waitFor(async () => {
      const lines = await readLog(stack.accessLog);
      const looked = lines.filter(({ cache }) => ["HIT", "MISS", "EXPIRED"].includes(cache));
      const hits = looked.filter(({ cache }) => cache === "HIT").length;
      const shown = await shownRates(stack);
      return shown.hit === hits && shown.miss === looked.length - hits && shown;
    });
    assert(counted.hit > 0 && counted.miss > 0);
    const { cache } = JSON.parse(
      (await fetchJson(`${stack.appUrls[0]}/`)) as string,
    );
    assert(cache.nginx.hits > 0 && cache.hits > 0);
  });

  it("neither repeats nor loses views when the log reader's process dies midway", async () => {
    const before = (await readLog(stack.accessLog)).length;
    const loading = (async () => {
      for (let i = 0; i < 400; i++) await client.get("/", BROWSER);
    })();
    for (const app of stack.apps) {
      await waitFor(async () => (await readLog(stack.accessLog)).length > before + 20);
      await app.kill();
      await app.start();
    }
    await loading;
    const lines = await readLog(stack.accessLog);
    const views =
      lines.filter(({ method, uri, status }) => method === "GET" && uri === "/" && status === 200)
        .length;
    await waitFor(async () => await visits(client, "/") >= views, 20_000);
    assertEquals(await visits(client, "/"), views);
  });

  it("continues after the access log is rotated", async () => {
    const known = await waitFor(() => visits(client, "/"));
    await Deno.rename(stack.accessLog, `${stack.accessLog}.1`);
    await client.get("/", BROWSER);
    await stack.nginx.signal("USR1");
    await waitFor(async () => {
      await client.get("/users", "application/json");
      return await Deno.stat(stack.accessLog).then(({ size }) => size > 0);
    });
    await client.get("/", BROWSER);
    await waitFor(async () => await visits(client, "/") === known + 2);
  });
});

const person = (name: string) => ({ name, email: `${name}@example.com` });

const LOAD = /from read\.users where id = \$1/g;

async function fetchJson(url: string): Promise<unknown> {
  return await (await fetch(url, { headers: { accept: "application/json" } })).text();
}

async function visits(client: CacheStatusClient, page: string): Promise<number> {
  return JSON.parse((await client.get(`/visits?page=${page}`)).text).visits;
}

async function shownRates(stack: Stack): Promise<Record<"hit" | "miss", number>> {
  const text = await (await fetch(`${stack.appUrls[0]}/metrics`)).text();
  const sums = { hit: 0, miss: 0 };
  const line =
    /^tallybook_cache_lookups\{cache="nginx",kind="[^"]*",result="(hit|miss)"\} (\d+)$/gm;
  for (const [, result, value] of text.matchAll(line)) {
    sums[result as "hit" | "miss"] += Number(value);
  }
  return sums;
}

/** How often PostgreSQL ran a statement, according to its own log. */
async function statementLog(stack: Stack) {
  const sql = postgres(stack.ownerDatabaseUrl, { max: 1, onnotice: () => {} });
  const log = () => Deno.readTextFile(stack.keeper.logFile("postgres"));
  await sql`alter system set log_statement = 'all'`;
  await sql`select pg_reload_conf()`;
  await waitFor(async () => {
    await fetch(`${stack.appUrls[0]}/receipts/none`).then(({ body }) => body?.cancel());
    await fetch(`${stack.appUrls[0]}/health`).then(({ body }) => body?.cancel());
    return (await log()).includes("read.projections");
  });
  const before = (await log()).length;
  return {
    count: async (statement: RegExp) => [...(await log()).slice(before).matchAll(statement)].length,
    async [Symbol.asyncDispose]() {
      await sql`alter system reset log_statement`;
      await sql`select pg_reload_conf()`;
      await sql.end();
    },
  };
}

async function cachedFiles(stack: Stack): Promise<Set<string>> {
  const found = new Set<string>();
  const walk = async (dir: string) => {
    for await (const { name, isDirectory } of Deno.readDir(dir)) {
      if (isDirectory) await walk(`${dir}/${name}`);
      else found.add(name);
    }
  };
  await walk(`${stack.dir}/nginx/cache/pages`);
  return found;
}

async function raw(stack: Stack, request: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: stack.nginx.port });
  await connection.write(new TextEncoder().encode(request));
  let text = "";
  const bytes = new Uint8Array(65536);
  for (let got = await connection.read(bytes); got !== null; got = await connection.read(bytes)) {
    text += new TextDecoder().decode(bytes.subarray(0, got));
  }
  return text;
}
