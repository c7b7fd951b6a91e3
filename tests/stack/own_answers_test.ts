// Nginx' own error responses, without or before the app: in the shape of all other responses.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { raw } from "../attacks/raw.ts";
import { waitFor } from "../support/until.ts";

const app = "tests/support/fixture_app.ts";

const HOST = "Host: x\r\n";
const LONG = "x".repeat(40_000);

/** Requests that never reach the app, each with the status of its refusal. */
const unreadable: Record<string, [request: string, status: number]> = {
  "a request line that is none": ["RUBBISH\r\n\r\n", 400],
  "a TLS hello where none is spoken": ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400],
  "a method that is none": [`get / HTTP/1.1\r\n${HOST}\r\n`, 400],
  "no host": ["GET / HTTP/1.1\r\n\r\n", 400],
  "two hosts": [`GET / HTTP/1.1\r\n${HOST}Host: y\r\n\r\n`, 400],
  "a length that is none": [`POST / HTTP/1.1\r\n${HOST}Content-Length: ten\r\n\r\n`, 400],
  "a header that is too large": [`GET / HTTP/1.1\r\n${HOST}Cookie: a=${LONG}\r\n\r\n`, 400],
  "too many large headers": [
    `GET / HTTP/1.1\r\n${HOST}${
      Array.from({ length: 8 }, (_, i) => `X-${i}: ${LONG.slice(0, 7000)}\r\n`).join("")
    }\r\n`,
    400,
  ],
  "an address that is too long": [`GET /${LONG} HTTP/1.1\r\n${HOST}\r\n`, 414],
  "a coding that nobody knows": [
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: nonsense\r\n\r\n`,
    501,
  ],
  "a version to come": ["GET / HTTP/9.1\r\n\r\n", 505],
  "TRACE": [`TRACE / HTTP/1.1\r\n${HOST}\r\n`, 405],
};

type Answer = { status: number; headers: Headers; body: string };

function parse(text: string): Answer {
  const [head = "", ...body] = text.split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const pairs = lines.map((line): [string, string] => {
    const at = line.indexOf(":");
    return [line.slice(0, at), line.slice(at + 1).trim()];
  });
  return { status: Number(first.split(" ")[1]), headers: new Headers(pairs), body: body.join() };
}

function assertOurs({ status, headers, body }: Answer, expected: number, what: string): void {
  assertEquals(status, expected, what);
  assertEquals(headers.get("content-type"), "application/problem+json", what);
  assertEquals(JSON.parse(body).status, expected, what);
  assert(JSON.parse(body).title.length > 3, body);
  assertNamed(headers, what);
}

function assertNamed(headers: Headers, what: string): void {
  assertEquals(headers.get("x-content-type-options"), "nosniff", what);
  assert(/^[\w.-]{8,64}$/.test(headers.get("x-request-id") ?? ""), `${what}: X-Request-Id`);
  assertEquals(headers.get("x-cache-status"), "NONE", what);
  // A page of another site can read the error, and no cache keeps it.
  assertEquals(headers.get("access-control-allow-origin"), "*", what);
  assertEquals(headers.get("cache-control"), "no-store", what);
}

function assertPage({ status, headers, body }: Answer, expected: number, what: string): void {
  assertEquals(status, expected, what);
  assertEquals(headers.get("content-type"), "text/html", what);
  assert(headers.get("content-security-policy")?.includes("default-src 'self'"), what);
  assert(/<html lang="en">.*<h1>.*<a href="\/">/s.test(body), body);
  assertNamed(headers, what);
}

describe("Nginx' own response", () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack({ app, env: { RATE_LIMIT: "off" } });
  });
  after(() => stack[Symbol.asyncDispose]());

  for (const [what, [request, status]] of Object.entries(unreadable)) {
    it(`to ${what} is ${status} with one problem document`, async () => {
      const text = await raw(stack.url, request);
      assertEquals(text.match(/HTTP\/1\.1 \d+/g)?.length, 1, text);
      assertOurs(parse(text), status, what);
      assert(!/nginx/i.test(text.replace(/^Server: nginx\r$/m, "")), text);
    });
  }

  it("is a page for a browser whose Accept header was read", async () => {
    const head = `GET / HTTP/1.1\r\n${HOST}Accept: text/html,*/*;q=0.8\r\n`;
    const answer = parse(await raw(stack.url, `${head}Cookie: a=${LONG}\r\n\r\n`));
    assertPage(answer, 400, "a cookie that is too large");
    assert(answer.body.includes("cookies"), "what to do about it");
  });

  it("to TRACE lists the allowed methods", async () => {
    const { headers } = parse(await raw(stack.url, `TRACE / HTTP/1.1\r\n${HOST}\r\n`));
    assert(headers.get("allow")?.startsWith("GET, HEAD, "), headers.get("allow") ?? "no Allow");
    const other = parse(await raw(stack.url, "RUBBISH\r\n\r\n"));
    assertEquals(other.headers.get("allow"), null);
  });

  it("keeps a caller's request id, where it was read", async () => {
    const head = `GET / HTTP/1.1\r\n${HOST}X-Request-Id: the-id-of-mine\r\n`;
    const { headers } = parse(await raw(stack.url, `${head}Cookie: a=${LONG}\r\n\r\n`));
    assertEquals(headers.get("x-request-id"), "the-id-of-mine");
  });

  it("has no address of its own that a client could request", async () => {
    const config = await Deno.readTextFile("nginx.conf");
    const internal = [...config.matchAll(/location = (\S+) \{\s*internal;/g)].map(([, path]) =>
      path
    );
    assert(internal.length > 0, "pages of Nginx' own");
    for (const path of internal) {
      const answer = await fetch(stack.url + path);
      const { pathname } = await answer.json();
      assertEquals([answer.status, pathname], [200, path], "the app is asked");
    }
  });

  it("to a body that is too large is a problem document, or a page", async () => {
    const head = `POST /sign HTTP/1.1\r\n${HOST}Content-Length: 2000000\r\n`;
    assertOurs(parse(await raw(stack.url, `${head}\r\n`)), 413, "JSON");
    assertPage(parse(await raw(stack.url, `${head}Accept: text/html\r\n\r\n`)), 413, "a page");
  });

  it("without a running app is a problem document, or a page", async () => {
    for (const part of stack.apps) await part.kill();
    const head = `GET /never-seen HTTP/1.1\r\n${HOST}`;
    const answers = [
      parse(await raw(stack.url, `${head}\r\n`, 2000)),
      parse(await raw(stack.url, `${head}Accept: text/html\r\n\r\n`, 2000)),
    ];
    for (const { headers } of answers) {
      assert(headers.has("retry-after"), "when to ask again");
      assertEquals(headers.get("access-control-expose-headers"), "Retry-After");
    }
    // This app never tells Nginx that it is there, so nothing is looked up.
    const cache = answers.map(({ headers }) => headers.get("x-cache-status"));
    for (const { headers } of answers) headers.set("x-cache-status", "NONE");
    assertEquals(cache, ["BYPASS", "BYPASS"]);
    assertOurs(answers[0] as Answer, 503, "JSON");
    assertPage(answers[1] as Answer, 503, "a page");
  });
});

describe("the plain HTTP side that redirects to HTTPS", () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack({ app, env: { RATE_LIMIT: "off" } });
    const listen = `${stack.dir}/nginx/run/listen.conf`;
    await Deno.writeTextFile(listen, await plainSide(new URL(stack.url).port));
    await stack.nginx.signal("HUP");
    await waitFor(async () => await plain() === 308);
  });
  after(() => stack[Symbol.asyncDispose]());

  const plain = async () =>
    parse(await raw(stack.url, `GET /polls?a=b HTTP/1.1\r\n${HOST}\r\n`)).status;

  for (const [what, [request, status]] of Object.entries(unreadable)) {
    it(`answers ${what} with ${status} as a problem document, without a redirect`, async () => {
      const answer = parse(await raw(stack.url, request));
      assertEquals(answer.headers.get("location"), null, what);
      assertOurs(answer, status, what);
    });
  }
});

/** The container's Nginx configuration without TLS, on another port. */
async function plainSide(port: string): Promise<string> {
  const script = await Deno.readTextFile("src/cli/deploy/nginx.sh");
  const [, listen = ""] = script.match(/cat >run\/listen\.conf <<EOF\n(.*?)\nEOF/s) ?? [];
  const lines = listen.replaceAll("\\$", "$").replaceAll("8080", port).split("\n");
  return lines.filter((line) => !/8443|ssl_/.test(line)).join("\n")
    .replaceAll("listen 8000;", "").replace(`listen ${port};`, `listen 127.0.0.1:${port};`)
    .replace("$origin", "https://guestbook.example");
}
