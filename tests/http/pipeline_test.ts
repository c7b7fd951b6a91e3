// The pipeline around every call, tried by clients that are hostile, or cut off.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { raw } from "../attacks/raw.ts";
import { ADMIN_TOKEN, openService, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

describe("the pipeline around every call", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  const metrics = async () => (await service.client().get("/metrics")).text;
  const askers = (): Record<string, string>[] => [
    {},
    { origin: "https://elsewhere.example" },
    { origin: service.url },
  ];
  const varies = (headers: Headers) => headers.get("vary")?.split(/,\s*/).includes("Origin");

  it("allows any site to read the assets, from whichever copy", async () => {
    const page = await service.client().get("/", { accept: "text/html" });
    const [script = ""] = page.text.match(/\/assets\/app\.\w+\.js/) ?? [];
    for (const path of [script, "/embed.js"]) {
      for (const headers of askers()) {
        const answer = await service.client().get(path, headers);
        const said = ["access-control-allow-origin", "access-control-allow-credentials"]
          .map((name) => answer.headers.get(name));
        assertEquals([answer.status, ...said], [200, "*", null], `${path} ${headers.origin}`);
      }
    }
  });

  it("sends CORS headers whether or not the request has an Origin", async () => {
    const names = ["access-control-allow-origin", "access-control-expose-headers"];
    const shared = ({ headers }: { headers: Headers }) => names.map((name) => headers.get(name));
    const foreign = { origin: "https://elsewhere.example" };
    for (const path of ["/", "/results", "/feed.atom", "/polls/1/ballots", "/entries/999"]) {
      const told = shared(await service.client().get(path, foreign));
      assertEquals(told[0], "*", path);
      assert(told[1]?.includes("Tallybook-Position"), path);
      assertEquals(shared(await service.client().get(path)), told, path);
    }
  });

  it("sends Vary: Origin where the response depends on it", async () => {
    const paths = ["/", "/results", "/polls/1/results.csv", "/feed.atom", "/docs", "/entries/999"];
    for (const path of [...paths, "/polls/1/results?asOf=1"]) {
      for (const headers of askers()) {
        const answer = await service.client().get(path, headers);
        assert(varies(answer.headers), `${path} ${JSON.stringify(headers)}`);
        const known = answer.headers.get("etag");
        if (known === null) continue;
        const again = await service.client().get(path, { ...headers, "if-none-match": "*" });
        assertEquals([again.status, varies(again.headers)], [304, true], path);
      }
    }
  });

  it("serves a page to clients that prefer HTML, as Nginx decides it", async () => {
    const page = "text/html";
    const json = "application/json";
    for (
      const [accept, type] of [
        ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", page],
        ["TEXT/HTML", page],
        ["application/json;q=0.1, text/html", page],
        ["application/xml, text/html;q=0.5, */*;q=0.1", page],
        ["text/html, application/json", page],
        ["application/json, text/html", json],
        ["application/json, text/html;q=0.9", json],
        ["text/html; q=0.2, application/json;q=0.5", json],
        ["*/*, text/html;q=0", json],
        ["text/htmlish", json],
        ["*/*", json],
      ] as const
    ) {
      const answer = await service.client().get("/polls/1", { accept });
      assertEquals(answer.headers.get("content-type")?.split(";")[0], type, accept);
    }
  });

  it("refuses a form whose _method is GET with 405, also with If-None-Match", async () => {
    const form = { _method: "GET" };
    const answer = await service.client().form("/polls/1", form, { "if-none-match": "*" });
    assertEquals(answer.status, 405);
  });

  it("uses a given request id, also with the dots that Nginx lets pass", async () => {
    const given = "release-1.2_probe.7";
    const answer = await service.client().get("/nowhere", { "x-request-id": given });
    assertEquals([answer.headers.get("x-request-id"), answer.get("request_id")], [given, given]);
  });

  it("counts requests by known methods, whatever a client makes up", async () => {
    for (let i = 0; i < 3; i++) await service.client().ask("/polls", { method: `MADEUP${i}` });
    const text = await metrics();
    assert(!text.includes("MADEUP"));
    assert(text.includes('tallybook_request_seconds_count{method="other",route="other",'));
  });

  it("blames the client for a body that never ends, in every encoding", async () => {
    const head = "POST /items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    const form = head.replace("application/json", "multipart/form-data; boundary=b");
    const answers = await Promise.all([
      raw(service.url, `${head}Content-Length: 50\r\n\r\n{`),
      raw(service.url, `${head}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`),
      raw(service.url, `${form}Transfer-Encoding: chunked\r\n\r\n3\r\n--b\r\n`),
    ]);
    for (const answer of answers) assert(answer.startsWith("HTTP/1.1 408 "), answer.slice(0, 200));
  });

  it("answers a preflight without a token, and learns nothing from one", async () => {
    const limited = await service.place.open({ RATE_LIMIT: "on" });
    await using _ = limited;
    const ask = (method: string, token: string) =>
      limited.client().ask("/polls", {
        method,
        headers: {
          "authorization": `Bearer ${token}`,
          "origin": limited.url,
          "access-control-request-method": "POST",
        },
      });
    const [right, ...wrong] = [ADMIN_TOKEN, ...Array.from({ length: 30 }, (_, i) => `wrong-${i}`)];
    const allowed = await ask("OPTIONS", right ?? "");
    for (const token of wrong) {
      const { status, headers } = await ask("OPTIONS", token);
      assertEquals(status, 204, token);
      for (const name of ["allow", "access-control-allow-methods", "ratelimit"]) {
        assertEquals(headers.get(name), allowed.headers.get(name), name);
      }
    }
    assertEquals((await ask("GET", "wrong")).status, 401, "and what asks with one is refused");
  });

  it("does not count a client that hangs up as a failure of the service", async () => {
    const before = await metrics();
    const head = "POST /items HTTP/1.1\r\nHost: x\r\n";
    const json = `${head}Content-Type: application/json\r\n`;
    const form = `${head}Content-Type: multipart/form-data; boundary=b\r\n`;
    await hangUp(`${json}Content-Length: 50\r\n\r\n{"name":`);
    await hangUp(`${json}Transfer-Encoding: chunked\r\n\r\n8\r\n{"name":\r\n`);
    await hangUp(`${form}Content-Length: 50\r\n\r\n--b\r\n`);
    const cut = (text: string) => {
      const counts = text.matchAll(/seconds_count\{method="POST",.*status="400"\} (\d+)/g);
      return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
    };
    const unhandled = (text: string) => text.match(/^tallybook_failures_total \d+$/m)?.[0];
    const now = await waitFor(async () => {
      const text = await metrics();
      return cut(text) === cut(before) + 3 && text;
    });
    assertEquals(unhandled(now), unhandled(before));
  });

  async function hangUp(bytes: string): Promise<void> {
    const { hostname, port } = new URL(service.url);
    const started = () => service.services.inFlightWrites.count;
    const conn = await Deno.connect({ hostname, port: Number(port) });
    await conn.write(new TextEncoder().encode(bytes));
    await waitFor(() => started() > 0);
    conn.close();
    await waitFor(() => started() === 0);
  }
});
