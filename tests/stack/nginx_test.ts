import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { readLog } from "../support/access_log.ts";
import { waitFor } from "../support/until.ts";

const app = "tests/support/fixture_app.ts";

type Answer = { status: number; cache: string | null; headers: Headers; text: string };

async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const { status, headers } = response;
  return { status, headers, cache: headers.get("x-cache-status"), text: await response.text() };
}

describe("Nginx in front of the app", () => {
  let stack: Stack;
  const get = (path: string, headers: HeadersInit = {}) => ask(stack.url + path, { headers });
  /** Raises versions as the service does. */
  const raise = (body: string, headers: Record<string, string> = {}) =>
    ask(`${stack.insideUrl}/versions`, {
      method: "POST",
      headers: { "x-tallybook-secret": stack.secrets.NGINX_SECRET, ...headers },
      body,
    });
  /** Requests a page until it is served from the cache. */
  const stored = async (path: string, headers: Record<string, string> = {}) => {
    await get(path, headers);
    return await waitFor(async () => {
      const answer = await get(path, headers);
      return answer.cache === "HIT" && answer;
    });
  };

  before(async () => {
    stack = await startStack({ app, replicas: 2, env: { RATE_LIMIT: "off" } });
  });
  after(() => stack[Symbol.asyncDispose]());

  it("caches nothing before the first contact with the service", async () => {
    assertEquals([(await get("/early")).cache, (await get("/early")).cache], ["BYPASS", "BYPASS"]);
    assertEquals((await raise("")).status, 200);
    assertEquals([(await get("/early")).cache, (await get("/early")).cache], ["MISS", "HIT"]);
  });

  it("runs on the project's own nginx.conf, byte for byte", async () => {
    const used = await Deno.readFile(`${stack.dir}/nginx/nginx.conf`);
    assertEquals(used, await Deno.readFile("nginx.conf"));
  });

  it("stores a page on a miss, and serves it to others under their own request id", async () => {
    const first = await stored("/a");
    const second = await get("/a", { "x-request-id": "second-reader" });
    assertEquals(second.cache, "HIT");
    assertEquals(second.text, first.text);
    assertEquals(second.headers.get("x-request-id"), "second-reader");
  });

  it("serves nothing that was loaded before its version was raised", async () => {
    const old = await stored("/raised");
    const other = await stored("/other");
    assertEquals((await raise("/raised")).status, 200);
    const next = await get("/raised");
    assertEquals(next.cache, "MISS");
    assertNotEquals(next.text, old.text);
    assertEquals((await get("/other")).text, other.text);
    await raise("*");
    assertEquals((await get("/other")).cache, "MISS");
  });

  it("lets only the service raise versions", async () => {
    const kept = await stored("/guarded");
    for (const secret of ["guess", ""]) {
      assertEquals((await raise("*", { "x-tallybook-secret": secret })).status, 403);
    }
    assertEquals((await ask(`${stack.url}/versions`, { method: "POST", body: "*" })).cache, "NONE");
    assertEquals((await get("/guarded")).text, kept.text);
  });

  it("keeps its versions over a reload, and forgets every file over a restart", async () => {
    const epoch = (await raise("")).text;
    assertMatch(epoch, /^[0-9a-f]{32}$/);
    const kept = await stored("/reloaded");
    await stack.nginx.signal("HUP");
    // A worker of before the reload may still answer on an open connection; each gives the same.
    for (let turn = 0; turn < 20; turn++) assertEquals((await raise("")).text, epoch);
    assertEquals((await get("/reloaded")).text, kept.text);
    await stack.nginx.restart();
    // Its versions begin at zero again: raised once, as before, only the epoch tells its files apart.
    assertNotEquals((await raise("*")).text, epoch);
    const fresh = await get("/reloaded");
    assertEquals(fresh.cache, "MISS");
    assertNotEquals(fresh.text, kept.text);
  });

  it("gives every request for a cached page an id of its own, which the log records", async () => {
    await stored("/numbered");
    // All at once on many connections, and one after the other on each.
    const ids = (await Promise.all(Array.from({ length: 20 }, () => numbered(stack, 20)))).flat();
    assertEquals(ids.length, 400);
    assertEquals(new Set(ids).size, 400);
    for (const id of ids) assertMatch(id, /^[\w.-]{8,64}$/);
    await waitFor(async () => {
      const lines = await readLog(stack.accessLog);
      const hits = new Set(lines.filter(({ cache }) => cache === "HIT").map(({ id }) => id));
      return ids.every((id) => hits.has(id));
    });
  });

  it("sends the app the same request for a page to cache, whoever the reader is", async () => {
    const headers = { "if-none-match": '"mine"', origin: "https://example.com" };
    const { sent } = JSON.parse((await get("/words", headers)).text);
    assertEquals([sent["if-none-match"], sent.origin], [undefined, undefined]);
    assertEquals(sent["x-tallybook-target"], "/words");
    assertMatch(sent["x-tallybook-load"], /^\d+\.\d+$/);
    const own = JSON.parse((await get("/words?x", headers)).text).sent;
    assertEquals([own["if-none-match"], own.origin], ['"mine"', "https://example.com"]);
    assertEquals(own["x-tallybook-load"], undefined);
  });

  it("ignores a reader's claim to be loading for the cache", async () => {
    const claim = { "x-tallybook-load": "9999999999", "x-tallybook-target": "/claimed" };
    const { sent } = JSON.parse((await get("/claimed?x", claim)).text);
    assertEquals([sent["x-tallybook-load"], sent["x-tallybook-target"]], [undefined, undefined]);
    const target = "/claimed/../other";
    const answer = await raw(
      stack,
      `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    assertStringIncludes(answer, `"x-tallybook-target":"${target}"`);
  });

  it("separates HTML from JSON, and one Accept header from another", async () => {
    const browser = "text/html,application/xml;q=0.9,*/*;q=0.8";
    const html = await stored("/b", { accept: browser });
    const json = await stored("/b", { accept: "application/json" });
    const other = await get("/b", { accept: "application/json;q=0.1, text/html" });
    assertEquals(html.headers.get("content-type"), "text/html");
    assertEquals(json.headers.get("content-type"), "application/json");
    assertEquals([html.cache, json.cache, other.cache], ["HIT", "HIT", "BYPASS"]);
    assertEquals((await get("/b")).cache, "MISS");
  });

  for (
    const [what, path, headers] of [
      ["a session", "/c", { cookie: "a=1; session=x" }],
      ["a token", "/d", { authorization: "Bearer x" }],
      ["a query", "/e?x=1", {}],
      ["cookies from another site", "/o", { cookie: "a=1", origin: "https://example.com" }],
    ] as const
  ) {
    it(`serves and stores nothing cached for a request with ${what}`, async () => {
      const plain = path.replace(/\?.*/, "");
      const kept = await stored(plain);
      const own = await get(path, headers);
      assertEquals(own.cache, "BYPASS");
      assertNotEquals(own.text, kept.text);
      assertEquals(JSON.parse(own.text).sent["x-tallybook-load"], undefined);
      assertEquals((await get(plain)).text, kept.text);
    });
  }

  it("serves cached pages to a visitor who signed or voted", async () => {
    await stored("/v");
    assertEquals((await get("/v", { cookie: "visitor=abc.def" })).cache, "HIT");
  });

  it("keeps a copy no longer than the app said", async () => {
    await stored("/life-1");
    const gone = await waitFor(async () => {
      const { cache } = await get("/life-1");
      return cache !== "HIT" && cache;
    }, 3000);
    assertEquals(gone, "EXPIRED");
  });

  it("answers HEAD and 304 from the copy that a GET left", async () => {
    const kept = await stored("/head");
    const head = await ask(`${stack.url}/head`, { method: "HEAD" });
    assertEquals([head.status, head.cache, head.text], [200, "HIT", ""]);
    assertEquals(head.headers.get("etag"), kept.headers.get("etag"));
    assertEquals((await ask(`${stack.url}/head-first`, { method: "HEAD" })).cache, "MISS");
    assertNotEquals((await stored("/head-first")).text, "");
  });

  it("answers a conditional request from its cache", async () => {
    const { headers } = await stored("/etag");
    const known = { "if-none-match": headers.get("etag") ?? "" };
    const confirmed = await get("/etag", known);
    assertEquals([confirmed.status, confirmed.cache, confirmed.text], [304, "HIT", ""]);
  });

  it("leaves If-Match and If-Unmodified-Since of a GET to the app", async () => {
    await stored("/precondition");
    for (
      const [name, value] of [
        ["if-match", '"another"'],
        ["if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"],
      ] as const
    ) {
      const answer = await get("/precondition", { [name]: value });
      assertEquals([answer.status, answer.cache], [200, "NONE"], name);
    }
  });

  it("streams events at once", async () => {
    const response = await fetch(`${stack.url}/polls/1/live`);
    const reader = response.body?.getReader();
    const first = await reader?.read();
    assertEquals(new TextDecoder().decode(first?.value), "data: first\n\n");
    await reader?.cancel();
  });

  it("compresses, and refuses a body that is too large", async () => {
    const large = await get("/large", { "accept-encoding": "gzip" });
    assertEquals(large.headers.get("vary"), "Accept-Encoding");
    const body = "x".repeat(2_000_000);
    assertEquals((await ask(`${stack.url}/sign`, { method: "POST", body })).status, 413);
  });

  it("logs each request as JSON, without its query", async () => {
    await get("/logged?name=Ada", { "x-request-id": "find-me-again" });
    const line = await waitFor(async () =>
      (await Deno.readTextFile(stack.accessLog)).split("\n").find((each) =>
        each.includes("find-me-again")
      )
    );
    const { method, uri, status, cache } = JSON.parse(line);
    assertEquals({ method, uri, status, cache }, {
      method: "GET",
      uri: "/logged",
      status: 200,
      cache: "BYPASS",
    });
    assert(!line.includes("Ada"));
  });

  it("exposes its own metrics on the inside only", async () => {
    assert((await ask(`${stack.insideUrl}/status`)).text.startsWith("Active connections"));
    assert(!(await get("/status")).text.startsWith("Active connections"));
  });

  it("retries at the other replica when one is dead", async () => {
    await stack.apps[0]?.kill();
    for (let i = 0; i < 20; i++) assertEquals((await get(`/g${i}`)).status, 200);
    await stack.apps[0]?.start();
  });

  it("sends a PUT only once, also when the replica dies of it", async () => {
    // Both replicas must be in use, or there would be no second one to retry at.
    const seen = new Set<number>();
    await waitFor(async () => seen.add(JSON.parse((await get("/who?x")).text).port).size === 2);
    const die = await ask(`${stack.url}/die`, { method: "PUT" });
    assertEquals(die.status, 503);
    assertEquals(die.headers.get("retry-after"), "2");
    const dead = await waitFor(() => stack.apps.find(({ pid }) => pid === undefined));
    const alive = await Promise.all(
      stack.appUrls.map((url) => ask(`${url}/health/ready`).then(() => true, () => false)),
    );
    assertEquals(alive.filter(Boolean).length, 1, "replicas that it was not sent to");
    await dead.start();
  });

  it("serves a stale copy while no app runs, but none of an older version", async () => {
    const kept = await stored("/life-1/stale");
    await stored("/life-1/raised");
    await raise("/life-1/raised");
    for (const part of stack.apps) await part.kill();
    const stale = await waitFor(async () => {
      const answer = await get("/life-1/stale");
      return answer.cache === "STALE" && answer;
    });
    assertEquals(stale.text, kept.text);
    assertEquals((await get("/never-seen")).status, 503);
    assertEquals((await get("/life-1/raised")).status, 503, "changed, and not asked for since");
    for (const part of stack.apps) await part.start();
  });
});

/** The raw response to a handwritten request. */
async function raw(stack: Stack, request: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: stack.nginx.port });
  await connection.write(new TextEncoder().encode(request));
  return await new Response(connection.readable).text();
}

/** The request ids of that many responses, requested together on one connection. */
async function numbered(stack: Stack, count: number): Promise<string[]> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: stack.nginx.port });
  const ask = "HEAD /numbered HTTP/1.1\r\nHost: x\r\n";
  const asked = `${ask}\r\n`.repeat(count - 1) + `${ask}Connection: close\r\n\r\n`;
  await connection.write(new TextEncoder().encode(asked));
  const text = await new Response(connection.readable).text();
  assertEquals(text.match(/^X-Cache-Status: HIT/gm)?.length, count);
  return [...text.matchAll(/^X-Request-Id: (\S+)/gm)].map(([, id = ""]) => id);
}

describe("Nginx's limits", () => {
  it("let 50 people behind one address sign and vote, and stop a flood", async () => {
    await using stack = await startStack({ app });
    const post = () => ask(`${stack.url}/sign`, { method: "POST", body: "x" });
    const people = await Promise.all(Array.from({ length: 100 }, post));
    assertEquals(people.filter(({ status }) => status !== 200), []);
    const flood = await Promise.all(Array.from({ length: 200 }, post));
    const refused = flood.filter(({ status }) => status === 429);
    assert(refused.length > 0);
    assertEquals(refused[0]?.headers.get("retry-after"), "5");
    assertEquals((await ask(stack.url)).status, 200);
  });
});

describe("the parts of a stack", () => {
  it("can be killed, paused and started again one by one", async () => {
    await using stack = await startStack({ app });
    const before = stack.postgres.pid;
    await stack.postgres.kill();
    assertEquals(stack.postgres.pid, undefined);
    await stack.postgres.start();
    assertNotEquals(stack.postgres.pid, before);
    await stack.redis.restart();
    await stack.nginx.restart();
    await stack.redis.pause();
    await stack.redis.resume();
    assertEquals((await ask(stack.url)).status, 200);
  });
});
