import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { readLog } from "../support/access_log.ts";
import { until } from "../support/until.ts";

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
  const fill = (path: string, headers: Record<string, string> = {}) =>
    get(path, {
      "x-tallybook-refresh": stack.secrets.NGINX_SECRET,
      "x-tallybook-copy": `mark of ${path}`,
      "x-tallybook-life": "4",
      ...headers,
    });
  /** Nginx has what it stored in use a moment after it sent it. */
  const stored = (path: string, headers: Record<string, string> = {}) =>
    until(async () => {
      const answer = await get(path, headers);
      return answer.cache === "HIT" && answer;
    });

  before(async () => {
    stack = await startStack({ app, replicas: 2, env: { RATE_LIMIT: "off" } });
  });
  after(() => stack[Symbol.asyncDispose]());

  it("runs on the project's own nginx.conf, byte for byte", async () => {
    const used = await Deno.readFile(`${stack.dir}/nginx/nginx.conf`);
    assertEquals(used, await Deno.readFile("nginx.conf"));
  });

  it("stores what the refresher fetches, and gives it to readers under their own request id", async () => {
    await fill("/a");
    const first = await stored("/a");
    const second = await get("/a", { "x-request-id": "second-reader" });
    assertEquals(second.cache, "HIT");
    assertEquals(second.text, first.text);
    assertEquals(second.headers.get("x-request-id"), "second-reader");
  });

  it("numbers every reader of a stored answer, and knows each by its number in the log", async () => {
    await fill("/numbered");
    await stored("/numbered");
    // All at once on many connections, and one after the other on each.
    const ids = (await Promise.all(Array.from({ length: 20 }, () => numbered(stack, 20)))).flat();
    assertEquals(ids.length, 400);
    assertEquals(new Set(ids).size, 400);
    for (const id of ids) assertMatch(id, /^[\w.-]{8,64}$/);
    await until(async () => {
      const lines = await readLog(stack.accessLog);
      const hits = new Set(lines.filter(({ cache }) => cache === "HIT").map(({ id }) => id));
      return ids.every((id) => hits.has(id));
    });
  });

  it("stores nothing of what readers fetch, and tells the app what they missed", async () => {
    const answers = [await get("/missed"), await get("/missed"), await get("/missed")];
    assertEquals(answers.map(({ cache }) => cache), ["MISS", "MISS", "MISS"]);
    assertEquals(answers.map(({ text }) => JSON.parse(text).missed), ["any", "any", "any"]);
  });

  it("never gives HTML to a reader of JSON, or one wish the answer of another", async () => {
    const browser = "text/html,application/xml;q=0.9,*/*;q=0.8";
    await fill("/b", { accept: "text/html" });
    await fill("/b", { accept: "application/json" });
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
    it(`gives nothing stored to who comes with ${what}, and tells nobody of it`, async () => {
      const plain = path.replace(/\?.*/, "");
      await fill(plain);
      const kept = await stored(plain);
      const own = await get(path, headers);
      assertEquals(own.cache, "BYPASS");
      assertNotEquals(own.text, kept.text);
      assertEquals(JSON.parse(own.text).missed, null);
      assertEquals((await get(plain)).text, kept.text);
    });
  }

  it("gives a visitor who signed or voted the stored answer", async () => {
    await fill("/v");
    await stored("/v");
    assertEquals((await get("/v", { cookie: "visitor=abc.def" })).cache, "HIT");
  });

  it("replaces a stored answer for the app's own request alone", async () => {
    await fill("/f");
    const kept = await stored("/f");
    const stranger = await fill("/f", { "x-tallybook-refresh": "guess" });
    assertEquals([stranger.cache, stranger.text], ["HIT", kept.text]);
    assertEquals(stranger.headers.get("tallybook-copy"), null);
    const strangers = JSON.parse((await fill("/f?x", { "x-tallybook-refresh": "guess" })).text);
    assertEquals([strangers.mark, strangers.secret], [null, null], "what a stranger gets through");
    const own = await fill("/f", { "x-tallybook-copy": "new" });
    assertEquals([own.cache, own.headers.get("tallybook-copy")], ["BYPASS", "new"]);
    assertEquals(JSON.parse(own.text).secret, null, "the secret stays in Nginx");
    assertEquals(await until(async () => (await stored("/f")).text === own.text), true);
  });

  it("lets the refresher look without storing", async () => {
    await fill("/look");
    await stored("/look");
    const look = { "x-tallybook-look": "1" };
    const seen = await fill("/look", look);
    assertEquals([seen.cache, seen.headers.get("tallybook-copy")], ["HIT", "mark of /look"]);
    assertEquals((await fill("/not-there", look)).cache, "MISS");
    assertEquals((await fill("/not-there", look)).cache, "MISS");
  });

  it("keeps a copy no longer than the app said", async () => {
    await fill("/short", { "x-tallybook-life": "1" });
    await stored("/short");
    const gone = await until(async () => {
      const { cache } = await get("/short");
      return cache !== "HIT" && cache;
    }, 3000);
    assertEquals(gone, "EXPIRED");
  });

  it("confirms a reader's own copy from its store", async () => {
    await fill("/etag");
    const { headers } = await stored("/etag");
    const known = { "if-none-match": headers.get("etag") ?? "" };
    const confirmed = await get("/etag", known);
    assertEquals([confirmed.status, confirmed.cache, confirmed.text], [304, "HIT", ""]);
  });

  it("passes events on at once", async () => {
    const response = await fetch(`${stack.url}/polls/1/live`);
    const reader = response.body?.getReader();
    const first = await reader?.read();
    assertEquals(new TextDecoder().decode(first?.value), "data: first\n\n");
    await reader?.cancel();
  });

  it("compresses and refuses what is too large", async () => {
    const large = await get("/large", { "accept-encoding": "gzip" });
    assertEquals(large.headers.get("vary"), "Accept-Encoding");
    const body = "x".repeat(2_000_000);
    assertEquals((await ask(`${stack.url}/sign`, { method: "POST", body })).status, 413);
  });

  it("logs each request as JSON, without its query", async () => {
    await get("/logged?name=Ada", { "x-request-id": "find-me-again" });
    const line = await until(async () =>
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

  it("shows its own figures inside only", async () => {
    assert((await ask(stack.statusUrl)).text.startsWith("Active connections"));
    assert(!(await get("/status")).text.startsWith("Active connections"));
  });

  it("asks the other replica when one is dead", async () => {
    await stack.apps[0]?.kill();
    for (let i = 0; i < 20; i++) assertEquals((await get(`/g${i}`)).status, 200);
    await stack.apps[0]?.start();
  });

  it("sends a PUT only once, also when the replica dies of it", async () => {
    // Both replicas must be in use, or there would be none to send it to again.
    const seen = new Set<number>();
    await until(async () => seen.add(JSON.parse((await get("/who?x")).text).port).size === 2);
    const die = await ask(`${stack.url}/die`, { method: "PUT" });
    assertEquals(die.status, 503);
    assertEquals(die.headers.get("retry-after"), "2");
    const dead = await until(() => stack.apps.find(({ pid }) => pid === undefined));
    const alive = await Promise.all(
      stack.appUrls.map((url) => ask(`${url}/health/ready`).then(() => true, () => false)),
    );
    assertEquals(alive.filter(Boolean).length, 1, "replicas that it was not sent to");
    await dead.start();
  });

  it("gives the stale copy while there is no app", async () => {
    // A replica that failed is asked again after a second.
    const kept = await until(async () => {
      await fill("/h", { "x-tallybook-life": "1" });
      const answer = await get("/h");
      return answer.cache === "HIT" && answer;
    });
    for (const part of stack.apps) await part.kill();
    const stale = await until(async () => {
      const answer = await get("/h");
      return answer.cache === "STALE" && answer;
    });
    assertEquals(stale.text, kept.text);
    assertEquals((await get("/never-seen")).status, 503);
    for (const part of stack.apps) await part.start();
  });
});

/** The request ids of so many answers, asked for in one go on a connection of their own. */
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
  it("let 50 people behind one address sign and vote, and no flood", async () => {
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
