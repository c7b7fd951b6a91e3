import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";

describe("the guestbook", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  const total = async () => Number((await service.client().get("/")).get("total"));
  const sign = (client = service.client()) => client.post("/sign", { name: "Ada", message: "Hi" });

  it("lets an author edit and delete by the cookie that signing set", async () => {
    const author = service.client();
    const id = idOf(await sign(author));
    const etag = (await author.get(`/entries/${id}`)).headers.get("etag") ?? "";
    const edit = { message: "Hello" };
    assertEquals((await service.client().put(`/entries/${id}`, edit)).status, 403);
    assertEquals((await author.put(`/entries/${id}`, edit, { "if-match": '"9"' })).status, 412);
    assertEquals((await author.put(`/entries/${id}`, edit, { "if-match": etag })).status, 200);
    assertEquals((await service.client().get(`/entries/${id}`)).get("message"), "Hello");
    const mine = await author.get("/entries/mine");
    assertEquals([mine.get("0.id"), mine.get("0.editable")], [id, true]);
    assert(mine.headers.get("cache-control")?.includes("no-store"));
    assertEquals((await service.client().get("/entries/mine")).get(), []);
    const forged = { cookie: `visitor=${[...author.cookies.values()][0]?.split(".")[0]}.forged` };
    assertEquals((await service.client().delete(`/entries/${id}`, forged)).status, 403);
    assertEquals((await author.delete(`/entries/${id}`)).status, 200);
    assertEquals((await author.get(`/entries/${id}`)).status, 404);
  });

  it("sets its cookie in response to a POST only", async () => {
    const reader = service.client();
    for (const path of ["/", "/entries", "/entries/mine", "/polls/1", "/polls/1/mine"]) {
      assertEquals((await reader.get(path)).headers.get("set-cookie"), null, path);
    }
    const cookie = (await sign(reader)).headers.get("set-cookie") ?? "";
    assert(/HttpOnly/.test(cookie) && /SameSite=Lax/.test(cookie), cookie);
  });

  it("shows an entry as of a position, unless it is hidden since", async () => {
    const author = service.client();
    const signed = await sign(author);
    const id = idOf(signed);
    await author.put(`/entries/${id}`, { message: "later" });
    const path = `/entries/${id}?asOf=${signed.headers.get("tallybook-position")}`;
    assertEquals((await author.get(path)).get("message"), "Hi");
    assertEquals((await author.get(`/entries/${id}?asOf=1`)).status, 404);
    assertEquals((await author.get(`/entries/${id}?asOf=9999999`)).status, 422);
    await service.admin().post(`/entries/${id}/hide`);
    assertEquals((await author.get(path)).status, 404);
  });

  it("lets an admin hide and restore entries, and counts the shown ones", async () => {
    const id = idOf(await sign());
    const before = await total();
    for (const verb of ["hide", "restore", "erase"]) {
      assertEquals((await service.client().post(`/entries/${id}/${verb}`)).status, 401, verb);
    }
    assertEquals((await service.admin().post(`/entries/${id}/hide`)).status, 200);
    assertEquals((await service.admin().post(`/entries/${id}/hide`)).status, 200);
    assertEquals([(await service.client().get(`/entries/${id}`)).status, await total()], [
      404,
      before - 1,
    ]);
    assertEquals((await service.admin().post(`/entries/${id}/restore`)).status, 200);
    assertEquals([(await service.client().get(`/entries/${id}`)).status, await total()], [
      200,
      before,
    ]);
    assertEquals((await service.admin().post("/entries/999999/hide")).status, 404);
  });

  it("holds new entries until they are approved, where MODERATION=before", async () => {
    await using moderated = await service.place.open({ MODERATION: "before" });
    const author = moderated.client();
    const before = await total();
    const signed = await sign(author);
    assertEquals([signed.status, signed.get("held")], [201, true]);
    const id = idOf(signed);
    for (const path of ["/", "/entries", "/feed.atom"]) {
      assert(!(await moderated.client().get(path)).text.includes(`"id":${id}`), path);
    }
    assertEquals((await author.get(`/entries/${id}`)).status, 404);
    const asOf = signed.headers.get("tallybook-position");
    assertEquals((await author.get(`/entries/${id}?asOf=${asOf}`)).status, 404);
    assertEquals((await author.get("/entries/mine")).get("0.state"), "held");
    assertEquals(await total(), before);
    assertEquals((await moderated.admin().post(`/entries/${id}/restore`)).status, 200);
    assertEquals((await author.get(`/entries/${id}`)).status, 200);
    assertEquals(await total(), before + 1);

    const edit = await author.put(`/entries/${id}`, { message: "Buy now" });
    assertEquals([edit.status, edit.get("held")], [200, true]);
    assertEquals((await author.get(`/entries/${id}`)).status, 404, "edited: it waits again");
    assertEquals(await total(), before);
    assertEquals((await author.get("/entries/mine")).get("0.message"), "Buy now");
    await author.put(`/entries/${id}`, { message: "Welcome" });
    assertEquals((await moderated.admin().post(`/entries/${id}/restore`)).status, 200);
    assertEquals((await author.get(`/entries/${id}`)).get("message"), "Welcome");
    assertEquals(await total(), before + 1);
    const unread = `/entries/${id}?asOf=${edit.headers.get("tallybook-position")}`;
    assertEquals((await author.get(unread)).status, 404, "nobody ever approved that");
    await moderated.admin().put(`/entries/${id}`, { message: "Mended" });
    assertEquals((await author.get(`/entries/${id}`)).get("message"), "Mended");

    const own = await moderated.admin().post("/sign", { name: "Admin", message: "at once" });
    assertEquals(own.get("held"), undefined);
  });

  it("has a feed that stays well-formed with any text", async () => {
    const text = `<b>&"'\u{1f642} ]]> שלום`;
    await service.client().post("/sign", { name: text, message: text });
    const feed = await service.client().get("/feed.atom");
    assertEquals(feed.headers.get("content-type"), "application/atom+xml; charset=utf-8");
    assert(feed.text.includes("&lt;b&gt;&amp;&quot;&apos;\u{1f642} ]]&gt; שלום"));
    assert(!feed.text.includes("<b>"));
    const page = await service.client().get("/", { accept: "text/html" });
    assert(page.text.includes("&lt;b&gt;") && !page.text.includes("<b>&"));
  });
});

describe("users and items with ACCESS=guarded", () => {
  let service: Service;
  before(async () => {
    service = await openService({ ACCESS: "guarded" });
  });
  after(async () => await service[Symbol.asyncDispose]());

  it("require the admin token for writes, and show e-mail addresses to admins only", async () => {
    const body = { name: "Ada", email: "ada@example.com" };
    assertEquals((await service.client().post("/users", body)).status, 401);
    assertEquals((await service.client().post("/items", { name: "x" })).status, 401);
    const user = await service.admin().post("/users", body);
    assertEquals(user.status, 201);
    const id = idOf(user);
    for (const path of ["/users", `/users/${id}`]) {
      assert(!(await service.client().get(path)).text.includes("ada@"), path);
      const page = await service.client().get(path, { accept: "text/html" });
      assert(!page.text.includes("ada@"), path);
      const shown = await service.admin().get(path);
      assert(shown.text.includes("ada@"), path);
      const open = await service.client().get(path);
      assert(
        open.headers.get("etag") !== shown.headers.get("etag"),
        `${path}: two answers, one tag`,
      );
    }
    const asOf = `/users/${id}?asOf=${user.headers.get("tallybook-position")}`;
    assert(!(await service.client().get(asOf)).text.includes("ada@"));
    assertEquals((await service.client().put(`/users/${id}`, { name: "x" })).status, 401);
    assertEquals((await service.client().delete(`/users/${id}`)).status, 401);
    assertEquals((await service.client().get(`/users/${id}/history`)).status, 401);
  });
});
