// Features that all calls share: idempotency keys, ETags, pages, methods, bodies, origins.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type ApiResponse, idOf } from "../support/api.ts";
import { openService, type Replica, type Service } from "../support/service.ts";

describe("every call", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  const eventCount = async () => {
    const [row] = await service.place.owner<{ n: number }[]>`select count(*) as n from events`;
    return row?.n ?? 0;
  };
  const newItem = async (name = "an item") => idOf(await service.client().post("/items", { name }));

  describe("Idempotency-Key", () => {
    const key = () => ({ "idempotency-key": crypto.randomUUID() });

    for (
      const [path, body] of [
        ["/items", { name: "one" }],
        ["/users", { name: "one", email: "one@example.com" }],
        ["/sign", { name: "one", message: "once" }],
        ["/polls/1/votes", { option: "option_a" }],
        ["/vote", { option: "option_b" }],
        ["/visits", { page: "/once" }],
      ] as const
    ) {
      it(`repeats the first answer of POST ${path}`, async () => {
        const headers = key();
        const client = service.client();
        const first = await client.post(path, body, headers);
        const count = await eventCount();
        const again = await client.post(path, body, headers);
        assert(first.status < 300, first.text);
        assertEquals([again.status, again.text], [first.status, first.text]);
        assertEquals(again.headers.get("idempotency-replayed"), "true");
        assertEquals(await eventCount(), count);
      });
    }

    it("is refused with another body", async () => {
      const headers = key();
      await service.client().post("/items", { name: "one" }, headers);
      const other = await service.client().post("/items", { name: "two" }, headers);
      assertEquals(other.status, 422);
    });

    it("recognises a repeated first anonymous request, with the cookie and without", async () => {
      const headers = key();
      const first = service.client();
      const answer = await first.post("/polls/1/votes", { option: "option_a" }, headers);
      assertEquals(answer.status, 201);
      const withCookie = await first.post("/polls/1/votes", { option: "option_a" }, headers);
      const without = await service.client().post(
        "/polls/1/votes",
        { option: "option_a" },
        headers,
      );
      assertEquals([withCookie.text, without.text], [answer.text, answer.text]);
      assertEquals([withCookie.status, without.status], [201, 201]);
    });

    it("separates two clients at different addresses that both count from 1", async () => {
      await using behind = await service.place.open({ TRUSTED_PROXIES: "127.0.0.1" });
      const ask = (from: string, name: string) =>
        behind.client().post("/items", { name }, {
          "idempotency-key": "1",
          "x-forwarded-for": from,
        });
      assertEquals((await ask("10.0.0.1", "mine")).status, 201);
      const other = await ask("10.0.0.2", "theirs");
      assertEquals([other.status, other.get("name")], [201, "theirs"]);
    });

    it("repeats the answer of a no-op, whatever happened since", async () => {
      const client = service.client();
      const vote = (option: string, headers = {}) =>
        client.post("/polls/1/votes", { option }, headers);
      await vote("option_a");
      const headers = key();
      const first = await vote("option_a", headers);
      assertEquals(first.status, 200);
      await vote("option_b");
      const again = await vote("option_a", headers);
      assertEquals([again.status, again.text], [first.status, first.text]);
      const mine = await client.get("/polls/1/mine");
      assertEquals(mine.get("options"), ["option_b"]);
    });

    it("is recognised by another process", async () => {
      const headers = key();
      const first = await service.client().post("/items", { name: "kept" }, headers);
      await using restarted = await service.place.open();
      const again = await restarted.client().post("/items", { name: "kept" }, headers);
      assertEquals([again.status, again.text], [first.status, first.text]);
    });

    it("gives concurrent duplicates one event", async () => {
      const headers = key();
      const body = { name: "twin", email: "twin@example.com" };
      const twins = await Promise.all(
        Array.from({ length: 20 }, () => service.client().post("/users", body, headers)),
      );
      assertEquals(new Set(twins.map(({ status, text }) => `${status} ${text}`)).size, 1);
      assertEquals(twins[0]?.status, 201);
    });

    it("leaves neither key nor caller in the log in clear text", async () => {
      const headers = key();
      await service.client().post("/sign", { name: "a", message: "b" }, headers);
      const rows = await service.place.owner`
        select meta::text as text from events union all select i::text from idempotency i`;
      const all = rows.map(({ text }) => String(text)).join("\n");
      assert(!all.includes(headers["idempotency-key"]));
    });

    it("is refused when malformed", async () => {
      const wrong = await service.client().post("/items", { name: "x" }, {
        "idempotency-key": "k".repeat(256),
      });
      assertEquals(wrong.status, 400);
    });
  });

  describe("ETag", () => {
    it("gives 304 on every public GET, and changes with the content", async () => {
      const client = service.client();
      const id = await newItem();
      const paths = [
        "/entries",
        "/entries?limit=2",
        "/users",
        "/items",
        `/items/${id}`,
        "/polls",
        "/polls/1",
        "/polls/1/results",
        "/polls/1/results.csv",
        "/polls/1/ballots",
        "/results",
        "/feed.atom",
        "/openapi.json",
        "/docs",
      ];
      for (const path of paths) {
        const first = await client.get(path);
        const etag = first.headers.get("etag") ?? "";
        assert(/^"[^"]+"$/.test(etag), `${path}: ${etag}`);
        for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
          const again = await client.get(path, { "if-none-match": known });
          assertEquals([again.status, again.text], [304, ""], `${path} ${known}`);
        }
        assertEquals((await client.get(path, { "if-none-match": '"other"' })).status, 200, path);
      }
      const before = await client.get("/polls/1/results");
      await client.post("/polls/1/votes", { option: "option_b" });
      const etag = before.headers.get("etag") ?? "";
      assertEquals((await client.get("/polls/1/results", { "if-none-match": etag })).status, 200);
    });

    it("differs between HTML and JSON", async () => {
      const id = await newItem();
      const json = await service.client().get(`/items/${id}`);
      const html = await service.client().get(`/items/${id}`, { accept: "text/html" });
      assert(json.headers.get("etag") !== html.headers.get("etag"));
      assert(json.headers.get("vary")?.includes("Accept"));
    });
  });

  describe("If-Match", () => {
    it("takes the version that a GET returned, with or without a proxy's W/", async () => {
      const client = service.client();
      const id = await newItem();
      const etag = (await client.get(`/items/${id}`)).headers.get("etag") ?? "";
      const first = await client.put(`/items/${id}`, { name: "b" }, { "if-match": `W/${etag}` });
      assertEquals(first.status, 200);
      const late = await client.put(`/items/${id}`, { name: "c" }, { "if-match": etag });
      assertEquals(late.status, 412);
      const given = first.headers.get("etag") ?? "";
      assertEquals((await client.get(`/items/${id}`)).headers.get("etag"), given);
      assertEquals((await client.delete(`/items/${id}`, { "if-match": given })).status, 200);
    });

    it("lets one of two concurrent edits succeed", async () => {
      const id = idOf(
        await service.client().post("/users", { name: "x", email: "race@example.com" }),
      );
      for (let round = 0; round < 10; round++) {
        const etag = (await service.client().get(`/users/${id}`)).headers.get("etag") ?? "";
        const edits = await Promise.all(
          Array.from(
            { length: 8 },
            (_, i) =>
              service.client().put(`/users/${id}`, { name: `${round} ${i}` }, { "if-match": etag }),
          ),
        );
        const statuses = edits.map(({ status }) => status).sort();
        assertEquals(statuses, [200, ...Array(7).fill(412)]);
        const winner = edits.findIndex(({ status }) => status === 200);
        const { get } = await service.client().get(`/users/${id}`);
        assertEquals(get("name"), `${round} ${winner}`);
      }
    });

    it("is refused with 412 when malformed", async () => {
      const id = await newItem();
      for (const tag of ["nonsense", '"x"', '"1']) {
        const answer = await service.client().put(`/items/${id}`, { name: "b" }, {
          "if-match": tag,
        });
        assertEquals(answer.status, 412, tag);
      }
    });
  });

  describe("pages", () => {
    async function walk(path: string): Promise<number[]> {
      const ids: number[] = [];
      for (let next: string | undefined = path; next !== undefined;) {
        const answer: ApiResponse = await service.client().get(next);
        assertEquals(answer.status, 200);
        const rows = answer.get() as { id: number }[];
        ids.push(...rows.map(({ id }) => id));
        next = answer.headers.get("link")?.match(/^<([^>]+)>; rel="next"$/)?.[1];
      }
      return ids;
    }

    it("follow each other without a gap or a repeat", async () => {
      for (let i = 0; i < 7; i++) {
        await newItem(`item ${i}`);
        await service.client().post("/sign", { name: "a", message: `entry ${i}` });
        await service.client().post("/users", { name: "a", email: `page${i}@example.com` });
      }
      for (const path of ["/items", "/users", "/entries"]) {
        const all = await walk(`${path}?limit=100`);
        const order = path === "/entries" ? (a: number, b: number) => b - a : undefined;
        assertEquals(all, all.toSorted(order ?? ((a, b) => a - b)), path);
        assertEquals(new Set(all).size, all.length);
        for (const limit of [1, 3, all.length]) {
          assertEquals(await walk(`${path}?limit=${limit}`), all, `${path} ${limit}`);
        }
      }
    });

    it("refuse invalid limits and cursors by name", async () => {
      for (
        const [query, field] of [
          ["limit=0", "limit"],
          ["limit=101", "limit"],
          ["limit=-1", "limit"],
          ["limit=1e1", "limit"],
          ["limit=", "limit"],
          ["before=x", "before"],
          ["before=99999999999999999999", "before"],
        ]
      ) {
        const answer = await service.client().get(`/entries?${query}`);
        assertEquals([answer.status, answer.get("errors.0.field")], [422, field], query);
      }
    });
  });

  describe("methods", () => {
    it("not supported at an address are refused with a list of those that are", async () => {
      for (
        const [method, path, allow] of [
          ["PUT", "/users", "GET, POST, HEAD, OPTIONS"],
          ["DELETE", "/sign", "POST, OPTIONS"],
          ["POST", "/users/1", "GET, PUT, DELETE, HEAD, OPTIONS"],
          ["PATCH", "/items/1", "GET, PUT, DELETE, HEAD, OPTIONS"],
          ["PUT", "/entries/mine", "GET, HEAD, OPTIONS"],
          ["GET", "/vote", "POST, OPTIONS"],
        ] as const
      ) {
        const answer = await service.client().ask(path, { method });
        assertEquals(
          [answer.status, answer.headers.get("allow")],
          [405, allow],
          `${method} ${path}`,
        );
        assertEquals(answer.headers.get("content-type"), "application/problem+json");
        const options = await service.client().ask(path, { method: "OPTIONS" });
        assertEquals([options.status, options.headers.get("allow")], [204, allow], path);
      }
      assertEquals((await service.client().ask("/nowhere", { method: "OPTIONS" })).status, 404);
    });

    it("HEAD returns the headers of GET, without a body", async () => {
      const id = await newItem();
      for (const path of ["/entries", `/items/${id}`, "/polls/1/results.csv", "/items/999999"]) {
        const get = await service.client().get(path);
        const head = await service.client().ask(path, { method: "HEAD" });
        assertEquals([head.status, head.text], [get.status, ""], path);
        for (const name of ["etag", "content-type", "tallybook-position", "cache-control"]) {
          assertEquals(head.headers.get(name), get.headers.get(name), `${path} ${name}`);
        }
      }
    });

    it("a form selects PUT and DELETE by _method, and no other method", async () => {
      const id = await newItem();
      const path = `/items/${id}`;
      const put = await service.client().form(path, { _method: "PUT", name: "by form" });
      assertEquals([put.status, put.headers.get("location")], [303, path]);
      assertEquals((await service.client().get(path)).get("name"), "by form");
      for (const method of ["TRACE", "CONNECT", "a b", "", "HEAD"]) {
        const wrong = await service.client().form(path, { _method: method });
        assertEquals(wrong.status, 405, method);
      }
      const gone = await service.client().form(path, { _method: "DELETE" });
      assertEquals([gone.status, gone.headers.get("location")], [303, "/items"]);
      assertEquals((await service.client().get(path)).status, 404);
    });
  });

  describe("bodies", () => {
    const post = (body: BodyInit, type?: string) =>
      service.client().ask("/items", {
        method: "POST",
        body,
        headers: type ? { "content-type": type } : {},
      });

    it("of the wrong type get 415", async () => {
      for (const type of ["text/plain", "application/xml", "image/png"]) {
        assertEquals((await post("name=x", type)).status, 415, type);
      }
    });

    it("that cannot be parsed get 400", async () => {
      for (const text of ["{", "nonsense", "[]", "3", '"text"', "null", '{"name":']) {
        assertEquals((await post(text, "application/json")).status, 400, text);
      }
      const latin = new Uint8Array([0x7b, 0x22, 0xe9, 0x22, 0x7d]);
      assertEquals((await post(latin, "application/json")).status, 400);
      assertEquals((await post("--x", "multipart/form-data; boundary=y")).status, 400);
    });

    it("that are too large get 413, with a length or without", async () => {
      const big = "x".repeat(10 * 1024 * 1024);
      assertEquals((await post(JSON.stringify({ name: big }), "application/json")).status, 413);
      const chunks = new Blob([JSON.stringify({ name: big })]).stream();
      assertEquals((await post(chunks, "application/json")).status, 413);
    });

    it("are accepted as JSON, as a form and as multipart alike", async () => {
      const form = new FormData();
      form.set("name", "multipart");
      const asked = await service.client().ask("/items", { method: "POST", body: form });
      assertEquals(asked.status, 303);
      const json = await post('{"name":"charset"}', "application/json; charset=utf-8");
      assertEquals([json.status, json.get("name")], [201, "charset"]);
    });
  });

  describe("origins", () => {
    it("of other sites may read but not write", async () => {
      const foreign = { origin: "https://elsewhere.example" };
      const read = await service.client().get("/entries", foreign);
      assertEquals(read.headers.get("access-control-allow-origin"), "*");
      const strange: Record<string, string>[] = [
        foreign,
        { origin: "null" },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
        { ...foreign, "sec-fetch-site": "same-origin" },
      ];
      for (const headers of strange) {
        const write = await service.client().post("/items", { name: "x" }, headers);
        assertEquals(write.status, 403, JSON.stringify(headers));
      }
      for (const headers of [["origin", service.url], ["sec-fetch-site", "same-origin"]]) {
        const own = Object.fromEntries([headers]) as Record<string, string>;
        assertEquals((await service.client().post("/items", { name: "x" }, own)).status, 201);
      }
    });

    const writes = async (place: Replica, headers: Record<string, string>) =>
      (await place.client().post("/items", { name: "x" }, headers)).status;

    it("differ by scheme as well as by host", async () => {
      const { host } = new URL(service.url);
      for (const scheme of ["https", "ftp", "ws", "javascript"]) {
        const origin = `${scheme}://${host}`;
        const headers = { origin, "x-forwarded-proto": "https" };
        assertEquals(await writes(service, { origin }), 403, origin);
        assertEquals(await writes(service, headers), 403, "said by no trusted proxy");
        const read = await service.client().get("/entries", { origin });
        assertEquals(read.headers.get("access-control-allow-credentials"), null, origin);
      }
    });

    it("take the site's scheme from a trusted proxy", async () => {
      await using behind = await service.place.open({ TRUSTED_PROXIES: "127.0.0.1" });
      const { host } = new URL(behind.url);
      const said: [forwarded: string | undefined, ours: string, foreign: string][] = [
        ["https", "https", "http"],
        ["http", "http", "https"],
        [undefined, "http", "https"],
        ["ftp", "http", "ftp"],
      ];
      for (const [forwarded, ours, foreign] of said) {
        const more: Record<string, string> = forwarded ? { "x-forwarded-proto": forwarded } : {};
        assertEquals(
          await writes(behind, { origin: `${ours}://${host}`, ...more }),
          201,
          forwarded,
        );
        assertEquals(
          await writes(behind, { origin: `${foreign}://${host}`, ...more }),
          403,
          forwarded,
        );
      }
    });

    it("are compared with PUBLIC_URL, whatever the Host header says", async () => {
      await using named = await service.place.open({ PUBLIC_URL: "https://tally.example/" });
      assertEquals(await writes(named, { origin: "https://tally.example" }), 201);
      assertEquals(await writes(named, { origin: "http://tally.example" }), 403);
    });

    it("listed in the configuration may write too, and pass the preflight", async () => {
      const origin = "https://friend.example";
      await using friendly = await service.place.open({ CORS_ORIGINS: origin });
      const preflight = await friendly.client().ask("/items", {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST" },
      });
      assertEquals(preflight.headers.get("access-control-allow-origin"), origin);
      assert(preflight.headers.get("access-control-allow-methods")?.includes("POST"));
      const write = await friendly.client().post("/items", { name: "x" }, { origin });
      assertEquals([write.status, write.headers.get("access-control-allow-origin")], [201, origin]);
      const stranger = await friendly.client().ask("/items", {
        method: "OPTIONS",
        headers: { origin: "https://x.example", "access-control-request-method": "POST" },
      });
      assertEquals(stranger.headers.get("access-control-allow-methods"), "GET, HEAD");
    });
  });

  it("that writes returns its position, at which every later read sees it", async () => {
    const answer = await service.client().post("/items", { name: "seen" });
    const position = Number(answer.headers.get("tallybook-position"));
    assert(position > 0);
    assertEquals(answer.headers.get("tallybook-visible"), null);
    const read = await service.client().get("/items?limit=100");
    assert(Number(read.headers.get("tallybook-position")) >= position);
  });

  it("is rate-limited where limits are on, and told when to retry", async () => {
    await using limited = await service.place.open({ RATE_LIMIT: "on" });
    const client = limited.client();
    const answers = await Promise.all(
      Array.from({ length: 605 }, () => client.post("/visits", { page: "/limited" })),
    );
    const refused = answers.filter(({ status }) => status === 429);
    assertEquals(refused.length, 5);
    for (const { headers } of refused) {
      assert(Number(headers.get("retry-after")) >= 1);
      assert(headers.get("ratelimit")?.includes("r=0"));
    }
    assertEquals((await client.get("/entries")).status, 200);
  });
});
