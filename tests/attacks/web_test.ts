// Attacks by request contents: each is refused or remains text, and each test names its attack.
import { assert, assertEquals, assertFalse, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { healthy } from "../faults/outcome.ts";
import { raw, statusesIn } from "./raw.ts";

let stack: Stack;

const JSON_TYPE = { "content-type": "application/json", accept: "application/json" };

async function post(path: string, body: string, headers: Record<string, string> = {}) {
  const answer = await fetch(stack.url + path, {
    method: "POST",
    redirect: "manual",
    headers: { ...JSON_TYPE, ...headers },
    body,
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

async function get(path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(stack.url + path, { redirect: "manual", headers });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

const sql = [
  "'; drop table events; --",
  "' or '1'='1",
  "1; select pg_sleep(5)",
  "1 union select value from settings",
  "') returning (select value from settings) --",
  "$1; delete from counter",
  "\\'; truncate events; --",
  "admin'/*",
  "1::text || version()",
];

describe("attacks by request contents", () => {
  before(async () => {
    stack = await startStack({ replicas: 1, env: { RATE_LIMIT: "off" } });
    await healthy(stack.apps);
  });
  after(() => stack[Symbol.asyncDispose]());

  it("SQL injection corpus: texts stay texts, numbers stay numbers", async () => {
    for (const text of sql) {
      const signed = await post("/sign", JSON.stringify({ name: text, message: text }));
      assertEquals(signed.status, 201, text);
      assertEquals(JSON.parse(signed.text).message, text.trim());
      const inPath = encodeURIComponent(text);
      for (const path of ["/entries/", "/users/", "/items/", "/polls/", "/receipts/"]) {
        assertEquals((await get(path + inPath, JSON_TYPE)).status, 404, path + text);
      }
      for (const query of ["/entries?before=", "/users?after=", "/polls?limit=", "/visits?page="]) {
        const { status } = await get(query + inPath, JSON_TYPE);
        assertEquals(status, 422, query + text);
      }
      assertEquals((await post("/polls/1/votes", JSON.stringify({ option: text }))).status, 422);
    }
    assertEquals((await get("/health", JSON_TYPE)).status, 200);
  });

  it("open redirect: a form only redirects within the site", async () => {
    const targets = ["//evil.example", "https://evil.example", "/\\evil.example"];
    for (const target of targets) {
      const body = new URLSearchParams({ name: "a", message: "b", next: target, location: target });
      const answer = await fetch(`${stack.url}/sign?next=${target}&return=${target}`, {
        method: "POST",
        redirect: "manual",
        headers: { referer: target },
        body,
      });
      await answer.body?.cancel();
      assertEquals(answer.status, 303);
      assert(/^\/(?![/\\])/.test(answer.headers.get("location") ?? ""), target);
    }
  });

  it("header injection: a line break never becomes a header", async () => {
    const breaks = [
      "a\r\nX-Injected: 1",
      "a\nX-Injected: 1",
      "a%0d%0aX-Injected:%201",
      "a\rX-Injected: 1",
    ];
    for (const text of breaks) {
      const paths = [`/entries?before=${encodeURIComponent(text)}`, `/receipts/${encodeURI(text)}`];
      for (const path of paths) {
        assertFalse((await get(path, JSON_TYPE)).headers.has("x-injected"), path);
      }
      const body = new URLSearchParams({ name: text, message: text });
      const answer = await fetch(`${stack.url}/sign`, { method: "POST", redirect: "manual", body });
      await answer.body?.cancel();
      assertFalse(answer.headers.has("x-injected"));
    }
  });

  it("path traversal at assets: serves nothing but assets", async () => {
    const tries = [
      "/assets/../../../../etc/passwd",
      "/assets/..%2f..%2f..%2fetc%2fpasswd",
      "/assets/%2e%2e/%2e%2e/deno.json",
      "/assets/....//....//deno.json",
      "/assets/..\\..\\deno.json",
      "/assets/%c0%ae%c0%ae/deno.json",
      "/assets/style.css%00.js",
      "/../src/main.ts",
    ];
    for (const base of [stack.url, ...stack.appUrls]) {
      for (const path of tries) {
        const said = await raw(
          base,
          `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
        );
        const [status = 0] = statusesIn(said);
        assert([400, 404].includes(status), `${path}: ${status}`);
        assertFalse(/root:|"imports"|createApp/.test(said), path);
      }
    }
  });

  it("host header tricks: no URL is built from a claimed host", async () => {
    const tricks = ["evil.example", "evil.example:80", "127.0.0.1@evil.example", '"><script>'];
    for (const host of tricks) {
      for (const header of [`Host: ${host}`, `Host: x\r\nX-Forwarded-Host: ${host}`]) {
        for (const path of ["/", "/feed.atom", "/openapi.json", "/admin"]) {
          const said = await raw(
            stack.url,
            `GET ${path} HTTP/1.1\r\n${header}\r\nAccept: text/html\r\nConnection: close\r\n\r\n`,
          );
          assertFalse(said.includes("evil.example"), `${path} with ${header}`);
          assertFalse(said.includes('"><script>'), path);
        }
      }
    }
  });

  it("log injection and personal text: in none of the logs", async () => {
    const name = "Zebedee Quux";
    const mark = '\\n{"level":"error","message":"forged"}';
    await post("/sign", JSON.stringify({ name, message: `secret words${mark}` }));
    await post("/users", JSON.stringify({ name, email: "zebedee@quux.example" }));
    await post("/users", JSON.stringify({ name, email: "zebedee@quux.example" }));
    await get(
      `/no/such/${encodeURIComponent('\n{"level":"error","message":"forged"}')}`,
      JSON_TYPE,
    );
    await get("/", { "x-request-id": 'a"}\\n{"forged":1}', "user-agent": "Zebedee Quux" });
    const logs = [...Deno.readDirSync(`${stack.dir}/logs`)].map(({ name }) =>
      Deno.readTextFileSync(`${stack.dir}/logs/${name}`)
    );
    logs.push(Deno.readTextFileSync(stack.accessLog));
    for (const text of logs) {
      assertFalse(/Zebedee|quux|secret words/.test(text), "personal text in a log");
      assertFalse(/^\{"level":"error","message":"forged"/m.test(text), "a forged line in a log");
    }
  });

  it("request ids: one id through Nginx, app and log entry", async () => {
    const id = "trace-0123456789abcdef";
    const signed = await post("/sign", JSON.stringify({ name: "a", message: "b" }), {
      "x-request-id": id,
    });
    assertEquals(signed.headers.get("x-request-id"), id);
    const events = await get("/events?after=1&limit=1000", {
      ...JSON_TYPE,
      authorization: `Bearer ${stack.secrets.ADMIN_TOKEN}`,
    });
    assertStringIncludes(events.text, id);
    assertStringIncludes(Deno.readTextFileSync(stack.accessLog), id);
  });

  it("prototype pollution: a key is a key", async () => {
    const bodies = [
      '{"__proto__":{"admin":true},"name":"a","message":"b"}',
      '{"constructor":{"prototype":{"admin":true}},"name":"a","message":"b"}',
      '{"name":"a","message":"b","__proto__":null}',
    ];
    for (const body of bodies) assertEquals((await post("/sign", body)).status, 201);
    const form = await fetch(`${stack.url}/sign`, {
      method: "POST",
      redirect: "manual",
      body: new URLSearchParams([["__proto__", "x"], ["name", "a"], ["message", "b"]]),
    });
    await form.body?.cancel();
    assertEquals(form.status, 303);
    assertEquals((await get("/events", JSON_TYPE)).status, 401);
  });

  it("ReDoS: long lines that almost match are answered at once", async () => {
    const long = 50_000;
    const tries: [string, string, Record<string, string>?][] = [
      ["/users", JSON.stringify({ name: "a", email: `${"a".repeat(long)}@` })],
      ["/users", JSON.stringify({ name: "a", email: `a@${"a.".repeat(long / 2)}` })],
      ["/sign", JSON.stringify({ name: " ".repeat(long), message: "\t".repeat(10) })],
      ["/polls", JSON.stringify({ question: "q", closes_at: "2".repeat(long) })],
      ["/visits", JSON.stringify({ page: "/".repeat(long) + "!" })],
      ["/sign", "{}", { "if-match": `"${"1".repeat(3000)}` }],
      ["/sign", "{}", { authorization: `Bearer ${" ".repeat(3000)}x` }],
      ["/sign", "{}", { accept: "text/html,".repeat(300) }],
      ["/sign", "{}", { cookie: "visitor=" + "a.".repeat(1500) }],
    ];
    for (const [path, body, headers] of tries) {
      const started = performance.now();
      const { status } = await post(path, body, headers);
      const took = performance.now() - started;
      assert(status >= 400 && status < 500, `${path}: ${status}`);
      assert(took < 1000, `${path} ${body.slice(0, 40)}: ${Math.round(took)} ms`);
    }
  });

  it("cache poisoning: a request header never reaches the next reader", async () => {
    const poisons: Record<string, string>[] = [
      { "x-forwarded-host": "evil.example" },
      { "x-forwarded-proto": "https", "x-forwarded-port": "666" },
      { "x-original-url": "/admin", "x-rewrite-url": "/admin" },
      { "x-http-method-override": "DELETE" },
      { origin: "https://evil.example" },
      { "x-tallybook-refresh": "guess" },
      { accept: 'application/json;v="<script>"' },
    ];
    const clean = async () => {
      const { status, headers, text } = await get("/polls/1", JSON_TYPE);
      return { status, text, shared: headers.get("access-control-allow-origin") };
    };
    const before = await clean();
    for (const headers of poisons) {
      await get("/polls/1", { ...JSON_TYPE, ...headers });
      assertEquals(await clean(), before, JSON.stringify(headers));
    }
  });

  it("cache deception: a visitor's own page is stored under no address", async () => {
    const signed = await post("/sign", JSON.stringify({ name: "Vera", message: "mine alone" }));
    const cookie = signed.headers.getSetCookie()[0]?.split(";")[0] ?? "";
    const tails = ["", "/x.css", ".css", "?x.css", ";x.css", "%2fx.css", "%00.css"];
    for (const tail of tails) {
      const path = `/entries/mine${tail}`;
      await get(path, { ...JSON_TYPE, cookie });
      const stranger = await get(path, JSON_TYPE);
      assertFalse(stranger.text.includes("mine alone"), path);
      assertFalse(stranger.headers.get("x-cache-status") === "HIT", path);
    }
  });
});
