// Runs the recount script exactly as the README prints it.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { openService, type Service } from "../support/service.ts";

describe("the recount script of the README", () => {
  let service: Service;
  let script: string;

  before(async () => {
    service = await openService();
    const readme = await Deno.readTextFile("README.md");
    const code = readme.match(/```js\n(\/\/ recount\.mjs:[^]*?)```/)?.[1] ?? "";
    assert(code !== "", "no recount.mjs in README.md");
    script = await Deno.makeTempFile({ suffix: ".mjs" });
    await Deno.writeTextFile(script, code);
  });
  after(async () => {
    await Deno.remove(script);
    await service[Symbol.asyncDispose]();
  });

  async function recount(site: string, poll: number) {
    const node = new Deno.Command("node", { args: [script, site, String(poll)] });
    const { code, stdout, stderr } = await node.output();
    const text = new TextDecoder();
    return { code, said: text.decode(stdout), complained: text.decode(stderr) };
  }

  const voters = async (count: number) => {
    const all = Array.from({ length: count }, () => service.client());
    const choose = (i: number) => ({ option: i % 3 === 0 ? "option_a" : "option_b" });
    await Promise.all(all.map((one, i) => one.post("/polls/1/votes", choose(i))));
    return all;
  };

  it("agrees with the results after votes were changed and withdrawn", async () => {
    const [first, second, third] = await voters(12);
    await first?.post("/polls/1/votes", { option: "option_b" });
    await second?.delete("/polls/1/votes");
    await third?.delete("/polls/1/votes");
    await third?.post("/polls/1/votes", { option: "option_a" });
    assertEquals(await recount(service.url, 1), {
      code: 0,
      said: "option_a: said 4, counted 4\noption_b: said 7, counted 7\n",
      complained: "",
    });
  });

  it("agrees with the results while votes come in", async () => {
    const over = new AbortController();
    const voting = (async () => {
      while (!over.signal.aborted) await voters(5);
    })();
    for (let round = 0; round < 3; round++) {
      const { code, said, complained } = await recount(service.url, 1);
      assertEquals([code, complained], [0, ""], said);
    }
    over.abort();
    await voting;
  });

  it("finds an inflated count", async () => {
    await using liar = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, liesFor(1));
    const { code, said } = await recount(`http://127.0.0.1:${liar.addr.port}`, 1);
    assertEquals(code, 1);
    assert(/^option_a: said \d+, counted \d+ {2}DIFFERENT$/m.test(said), said);
    assert(/^option_b: said (\d+), counted \1$/m.test(said), said);
  });

  it("finds a duplicate ballot, and stops where results are not shown", async () => {
    await using liar = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, twice);
    const doubled = await recount(`http://127.0.0.1:${liar.addr.port}`, 1);
    assert(doubled.code !== 0 && doubled.complained.includes("a ballot twice"));
    const missing = await recount(service.url, 99);
    assert(missing.code !== 0 && missing.complained.includes("ballots: 404"));
  });

  async function ask(request: Request): Promise<{ text: string; headers: Headers; path: string }> {
    const { pathname, search } = new URL(request.url);
    const answer = await fetch(service.url + pathname + search);
    const position = answer.headers.get("tallybook-position") ?? "";
    const headers = new Headers({ "tallybook-position": position });
    return { text: await answer.text(), headers, path: pathname };
  }

  const liesFor = (more: number) => async (request: Request): Promise<Response> => {
    const { text, headers, path } = await ask(request);
    if (!path.endsWith("/results")) return new Response(text, { headers });
    const results = JSON.parse(text);
    results.options[0].votes += more;
    return Response.json(results, { headers });
  };

  const twice = async (request: Request): Promise<Response> => {
    const { text, headers, path } = await ask(request);
    return new Response(path.endsWith("/ballots") ? text + text : text, { headers });
  };
});
