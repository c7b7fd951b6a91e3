// The first start, the admin's token and session, and sample data.
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { addSample } from "$src/sample_data.ts";
import { adminTokenDigest, digest, firstAdminToken } from "$src/security/secrets.ts";
import { exportEvents, importEvents } from "$src/store/export_import.ts";
import { ApiClient } from "../support/api.ts";
import { ADMIN_TOKEN, openPlace, openService } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

describe("the first start", () => {
  it("opens the default poll once, however many replicas start, together or again", async () => {
    await using place = await openPlace();
    await using one = await place.open();
    await using two = await place.open();
    await using _three = await place.open();
    const opened = await place.owner`select stream from events where type = 'PollOpened'`;
    assertEquals(opened.map(({ stream }) => stream), ["poll-1"]);
    const polls = (await two.client().get("/polls")).get() as unknown[];
    assertEquals(polls.length, 1);
    const next = await one.admin().post("/polls", { question: "?", options: ["a", "b"] });
    assertEquals(next.get("id"), 2);
    assertEquals((await two.client().get("/users")).get(), []);
  });

  it("adds sample data through ordinary commands where configured, once", async () => {
    await using place = await openPlace();
    await using service = await place.open({ SAMPLE_DATA: "true" });
    const users = (await service.client().get("/users")).get() as { id: number; name: string }[];
    assertEquals(users.map(({ id, name }) => [id, name]), [[1, "Alice"], [2, "Bob"], [3, "Carol"]]);
    for (const path of ["/entries", "/items", "/polls"]) {
      assert(((await service.client().get(path)).get() as unknown[]).length >= 2, path);
    }
    const next = await service.client().post("/users", { name: "x", email: "new@example.com" });
    assertEquals(next.get("id"), 4);
    const taken = await service.client().post("/users", { name: "x", email: "alice@example.com" });
    assertEquals(taken.status, 409);
    await using restarted = await place.open({ SAMPLE_DATA: "true" });
    assertEquals(((await restarted.client().get("/users")).get() as unknown[]).length, 4);
    const error = await addSample(service.services.sql, service.services.appender).catch(String);
    assert(String(error).includes("new log only"));
  });

  it("appends nothing to an imported log", async () => {
    await using from = await openPlace();
    {
      await using service = await from.open();
      await service.admin().delete("/polls/1");
      await service.client().post("/items", { name: "carried over" });
    }
    const lines: string[] = [];
    for await (const { text } of exportEvents(from.owner, {})) {
      lines.push(...text.trim().split("\n"));
    }
    await using to = await openPlace();
    await importEvents({ sql: to.owner, embedded: false }, ReadableStream.from(lines));
    await using service = await to.open({ SAMPLE_DATA: "true" });
    assertEquals((await service.client().get("/polls")).get(), []);
    assertEquals((await service.client().get("/items")).get("0.name"), "carried over");
    assertEquals((await service.client().post("/vote", { option: "option_a" })).status, 404);
  });
});

describe("the admin", () => {
  it("is authenticated by a token that was printed once and stored as a digest only", async () => {
    await using place = await openPlace();
    await using service = await place.open({ ADMIN_TOKEN: undefined });
    const { config, services } = service;
    const token = await firstAdminToken(config, services.sql) ?? "";
    assert(token.length >= 32);
    assertEquals(await firstAdminToken(config, services.sql), undefined);
    assertEquals(await adminTokenDigest(config, services.sql), digest(token));
    const rows = await place.owner`select value from settings`;
    assert(!rows.some(({ value }) => String(value).includes(token)));
    await waitFor(async () =>
      (await new ApiClient(service.url, token).get("/events")).status === 200
    );
  });

  it("form login sets a session, logout ends it, a wrong token gets 401", async () => {
    await using service = await openService();
    const client = service.client();
    const wrong = await client.form("/admin/login", { token: "not the token" });
    assertEquals(wrong.status, 401);
    assert(wrong.headers.get("www-authenticate"));
    const login = await client.form("/admin/login", { token: ADMIN_TOKEN });
    assertEquals([login.status, login.headers.get("location")], [303, "/admin"]);
    const cookie = login.headers.get("set-cookie") ?? "";
    assert(/HttpOnly/.test(cookie) && /SameSite=Strict/.test(cookie), cookie);
    assertEquals((await client.get("/events")).status, 200);
    const session = { cookie: `session=${client.cookies.get("session")}` };
    await using other = await service.place.open();
    await waitFor(async () => (await other.client().get("/events", session)).status === 200);
    assertEquals((await client.form("/admin/logout", {})).status, 303);
    assertEquals((await other.client().get("/events", session)).status, 401);
    assertEquals((await client.get("/events", { cookie: "session=made-up" })).status, 401);
  });

  it("JSON login sets a session, logout ends it", async () => {
    await using service = await openService();
    const client = service.client();
    const login = await client.post("/admin/login", { token: ADMIN_TOKEN });
    assertEquals([login.status, login.get("message")], [200, "Logged in"]);
    const cookie = login.headers.get("set-cookie") ?? "";
    assert(/^session=.*HttpOnly.*SameSite=Strict/.test(cookie), cookie);
    const session = { cookie: `session=${client.cookies.get("session")}` };
    assertEquals((await client.get("/events")).status, 200);
    const logout = await client.post("/admin/logout", {});
    const gone = logout.headers.get("set-cookie") ?? "";
    assert(/^session=;.*Max-Age=0/.test(gone), gone);
    assertEquals((await service.client().get("/events", session)).status, 401);
  });

  it("keeps reading while Redis, which holds the sessions, is down", async () => {
    await using service = await openService();
    const client = service.client();
    await client.post("/admin/login", { token: ADMIN_TOKEN });
    await service.place.redis?.part.kill();
    for (let i = 0; i < 10; i++) assertEquals((await client.get("/entries")).status, 200);
    assertEquals((await client.get("/events")).status, 401);
    assertEquals((await service.admin().get("/events")).status, 200);
    const login = await client.post("/admin/login", { token: ADMIN_TOKEN });
    assertEquals([login.status, login.headers.get("retry-after") !== null], [503, true]);
    const health = await client.get("/health");
    assertEquals([health.status, health.get("status"), health.get("redis")], [
      200,
      "degraded",
      "down",
    ]);
  });

  it("gets 429 after ten wrong tokens, while the right token is still accepted", async () => {
    await using service = await openService();
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) {
      const answer = await new ApiClient(service.url, `wrong ${i}`.replace(" ", "-")).get(
        "/events",
      );
      statuses.push(answer.status);
    }
    assertEquals(statuses, [...Array(10).fill(401), 429, 429]);
    assertEquals((await service.admin().get("/events")).status, 200);
    assertEquals((await service.client().get("/entries")).status, 200);
  });

  it("reads the log as JSON and NDJSON, in pages, by stream and type", async () => {
    await using service = await openService();
    const admin = service.admin();
    for (let i = 0; i < 5; i++) await service.client().post("/items", { name: `item ${i}` });
    await service.client().post("/sign", { name: "Ada", message: "a secret" });
    const first = await admin.get("/events?limit=2");
    assertEquals(first.headers.get("link"), '</events?after=2&limit=2>; rel="next"');
    const items = await admin.get("/events?type=ItemCreated,EntrySigned&after=3&limit=1000");
    const events = items.get() as { position: number; type: string }[];
    assertEquals(events.map(({ position }) => position), [4, 5, 6, 7]);
    assert(!items.text.includes("a secret"));
    const stream = await admin.get("/events?stream=poll-1");
    assertEquals((stream.get() as unknown[]).length, 1);
    const lines = await admin.get("/events", { accept: "application/x-ndjson" });
    assertEquals(lines.text.trim().split("\n").length, 7);
    const verdict = await admin.post("/admin/verify");
    assertEquals([verdict.get("ok"), verdict.get("position")], [true, 7]);
  });
});
