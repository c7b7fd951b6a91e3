// One page requested by every spelling of its path: each is answered, and only the spelling that events
// name is stored.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { CacheStatusClient } from "../support/client.ts";

const ACCEPTS = ["text/html", "application/json", "*/*", "application/json;q=0.9, */*;q=0.1"];

describe("a page requested by an odd spelling of its path", () => {
  let stack: Stack;
  let client: CacheStatusClient;
  let id: number;

  before(async () => {
    stack = await startStack({ env: { RATE_LIMIT: "off" } });
    client = new CacheStatusClient(stack.url);
    id = JSON.parse((await client.send("POST", "/items", { name: "first" })).text).id;
  });
  after(async () => {
    client[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
  });

  type Seen = { status: number; cache: string | undefined; text: string };

  /** Sends the target as written, which a client library would normalise. */
  async function ask(target: string, accept: string, method = "GET"): Promise<Seen> {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: stack.nginx.port });
    const lines = [
      `${method} ${target} HTTP/1.1`,
      "Host: x",
      `Accept: ${accept}`,
      "Connection: close",
    ];
    await connection.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
    const text = await new Response(connection.readable).text();
    return {
      status: Number(text.match(/^HTTP\/1\.1 (\d+)/)?.[1]),
      cache: text.match(/^X-Cache-Status: (\w+)/im)?.[1],
      text,
    };
  }

  const odd = (id: number) => [
    `//items/${id}`,
    `/items//${id}`,
    `/%69tems/${id}`,
    `/items/%3${id}`,
    `/items%2F${id}`,
    `/x/../items/${id}`,
    `/./items/${id}`,
    `/items/${id}/.`,
    `/items/${id}/`,
    `/items/0${id}`,
    `/Items/${id}`,
    `/items/${id}?`,
    `/items/${id}?x`,
    `/items/${id}#x`,
    `/items/${id};x`,
    `/items/${id}%00`,
    `/items/${id}%20`,
  ];

  it("is answered, never stored, and never stale after a write", async () => {
    const stored: string[] = [];
    const stale: string[] = [];
    for (const target of odd(id)) {
      for (const accept of ACCEPTS) {
        const old = `old ${crypto.randomUUID()}`;
        await client.send("PUT", `/items/${id}`, { name: old });
        for (let turn = 0; turn < 3; turn++) {
          const { cache, status } = await ask(target, accept);
          if (cache === "HIT" || cache === "STALE") stored.push(`${target} ${accept} ${cache}`);
          assert(status >= 200 && status < 500, `${target}: ${status}`);
        }
        await client.send("PUT", `/items/${id}`, { name: "new" });
        const { text } = await ask(target, accept);
        if (text.includes(old)) stale.push(`${target} ${accept}`);
      }
    }
    assertEquals(stored, []);
    assertEquals(stale, []);
  });

  it("is stored as the page itself in absolute form, for HEAD and for a conditional GET", async () => {
    const ways: [string, string][] = [
      [`http://x/items/${id}`, "GET"],
      [`/items/${id}`, "HEAD"],
      [`/items/${id}`, "GET"],
    ];
    for (const accept of ACCEPTS.slice(0, 3)) {
      for (const [target, method] of ways) {
        await client.send("PUT", `/items/${id}`, { name: `at ${target}` });
        const first = await ask(target, accept, method);
        const second = await ask(target, accept, method);
        assertEquals([first.cache, second.cache], ["MISS", "HIT"], `${method} ${target} ${accept}`);
        await client.send("PUT", `/items/${id}`, { name: "changed" });
        const { cache, text } = await ask(`/items/${id}`, accept);
        assertEquals(cache, "MISS");
        assert(text.includes("changed"));
      }
      const { headers } = await client.get(`/items/${id}`, accept);
      const known = { accept, "if-none-match": headers.get("etag") ?? "" };
      assertEquals((await client.ask(`/items/${id}`, { headers: known })).status, 304);
      await client.send("PUT", `/items/${id}`, { name: `after a 304 of ${accept}` });
      assertEquals((await client.ask(`/items/${id}`, { headers: known })).status, 200);
    }
  });

  it("stores nothing that headers outside the key would decide", async () => {
    const raw = async (path: string, headers: Record<string, string>) => {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port: stack.nginx.port });
      const lines = Object.entries({ ...headers, Connection: "close" })
        .map(([name, value]) => `${name}: ${value}\r\n`);
      await connection.write(
        new TextEncoder().encode(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`),
      );
      return await new Response(connection.readable).text();
    };
    const json = { Accept: "application/json" };
    for (const host of ["a?after=999999#", "a?after=999999&x=", "a#", "a=b&c"]) {
      // Each writes something new, so that the page is not stored yet.
      await client.send("PUT", "/items/1", { name: `listed under ${host}` });
      assertMatch(await raw("/items", { Host: host, ...json }), /^HTTP\/1\.1 400 /, host);
      assert(
        (await client.get("/items")).text.includes("listed under"),
        `poisoned by Host: ${host}`,
      );
    }
    const html = { Accept: "text/html" };
    for (
      const [path, referer] of [["/items/987654", "/mine?thanks=x"], ["/items/987653", "//evil/"]]
    ) {
      await raw(path ?? "", { Host: "x", ...html, Referer: `http://x${referer}` });
      const stored = await raw(path ?? "", { Host: "x", ...html });
      assertMatch(stored, /X-Cache-Status: HIT/i);
      assert(!stored.includes(String(referer)), `a stored page leads to ${referer}`);
    }
    // The app trims a cookie's name: what it would show to an admin is stored for nobody.
    const login = await fetch(`${stack.url}/admin/login`, {
      method: "POST",
      body: new URLSearchParams({ token: stack.secrets.ADMIN_TOKEN }),
      redirect: "manual",
    });
    const session = /session=([^;]+)/.exec(login.headers.getSetCookie().join())?.[1];
    assert(session !== undefined, await login.text());
    await client.send("PUT", "/items/1", { name: "for all" });
    await raw("/items", { Host: "x", ...html, Cookie: `session =${session}` });
    const stored = await raw("/items", { Host: "x", ...html });
    const fresh = await raw("/items?after=0", { Host: "x", ...html });
    assertEquals(/<form/.test(stored), /<form/.test(fresh));
  });
});
