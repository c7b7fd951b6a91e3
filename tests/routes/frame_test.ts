// What surrounds every call, asked by those who do not mean well, or are cut off.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { openService, type Service } from "../support/service.ts";

describe("the frame around every call", () => {
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

  it("lets any site read the files of our pages, from whichever copy", async () => {
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

  it("tells caches what depends on who asks from where", async () => {
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

  it("answers no form with what only a GET may be told", async () => {
    const form = { _method: "GET" };
    const answer = await service.client().form("/polls/1", form, { "if-none-match": "*" });
    assertEquals(answer.status, 405);
  });

  it("calls a request by the name it was given, also with the dots that Nginx lets pass", async () => {
    const given = "release-1.2_probe.7";
    const answer = await service.client().get("/nowhere", { "x-request-id": given });
    assertEquals([answer.headers.get("x-request-id"), answer.get("request_id")], [given, given]);
  });

  it("counts requests by methods that there are, whatever a stranger makes up", async () => {
    for (let i = 0; i < 3; i++) await service.client().ask("/polls", { method: `MADEUP${i}` });
    const text = await metrics();
    assert(!text.includes("MADEUP"));
    assert(text.includes('tallybook_request_seconds_count{method="other",route="other",'));
  });
});
