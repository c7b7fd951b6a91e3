// The exact behaviour that existing clients rely on.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";

describe("existing clients", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  it("sign by a form and are redirected to the front page with the entry", async () => {
    const client = service.client();
    const answer = await client.form("/sign", { name: "Ada", message: "by form" });
    assertEquals([answer.status, answer.headers.get("location")], [303, "/"]);
    const page = await client.get("/", { accept: "text/html" });
    assert(page.text.includes("by form"));
    assert(page.headers.get("content-type")?.startsWith("text/html"));
  });

  it("are thanked where they read HTML", async () => {
    const client = service.client();
    const form = { name: "Ada", message: "in a browser" };
    const answer = await client.form("/sign", form, { accept: "text/html,*/*;q=0.8" });
    const location = answer.headers.get("location") ?? "";
    assert(/^\/entries\/mine\?thanks=\d+$/.test(location), location);
    const page = await client.get(location, { accept: "text/html" });
    assertEquals(page.status, 200);
    assert(page.text.includes("in a browser"));
  });

  it("read /health as three words", async () => {
    const answer = await service.client().get("/health");
    assertEquals(answer.status, 200);
    const { status, redis, postgres } = JSON.parse(answer.text);
    assertEquals({ status, redis, postgres }, { status: "healthy", redis: "ok", postgres: "ok" });
  });

  it("create, read, update and delete users", async () => {
    const client = service.client();
    const created = await client.post("/users", { name: "Ada", email: "ada@example.com" });
    const id = idOf(created);
    assertEquals([created.status, created.get("message")], [201, "Created"]);
    assert(Number.isInteger(id));
    const user = await client.get(`/users/${id}`);
    assertEquals([user.get("id"), user.get("name"), user.get("email")], [
      id,
      "Ada",
      "ada@example.com",
    ]);
    assert(Number.isFinite(Date.parse(String(user.get("created_at")))));
    const updated = await client.put(`/users/${id}`, { name: "Lovelace" });
    assertEquals([updated.status, updated.get("message")], [200, "Updated"]);
    assertEquals((await client.get(`/users/${id}`)).get("name"), "Lovelace");
    const list = await client.get("/users");
    assert(Array.isArray(list.get()));
    const deleted = await client.delete(`/users/${id}`);
    assertEquals([deleted.status, deleted.get("message")], [200, "Deleted"]);
    assertEquals((await client.get(`/users/${id}`)).status, 404);
    assertEquals((await client.delete(`/users/${id}`)).status, 404);
  });

  it("create and read items", async () => {
    const client = service.client();
    const item = await client.post("/items", { name: "Lamp", description: "Brass" });
    assertEquals(item.status, 201);
    const found = await client.get(`/items/${idOf(item)}`);
    assertEquals(found.get(), { id: idOf(item), name: "Lamp", description: "Brass" });
  });

  it("vote and read the counts of the default poll", async () => {
    const none = await service.client().get("/results");
    assertEquals(none.get(), { option_a: 0, option_b: 0 });
    for (const option of ["option_a", "option_a", "option_b"]) {
      const answer = await service.client().post("/vote", { option });
      assertEquals([answer.status, answer.get("status")], [200, "Queued"]);
    }
    const results = await service.client().get("/results");
    assertEquals(results.get(), { option_a: 2, option_b: 1 });
    const form = await service.client().form("/vote", { option: "option_b" });
    assertEquals(form.status, 303);
    assertEquals((await service.client().get("/results")).get("option_b"), 2);
  });

  it("read a message and an increasing counter on the front page", async () => {
    const client = service.client();
    const first = await client.get("/");
    assertEquals(typeof first.get("message"), "string");
    const visits = Number(first.get("visits"));
    assertEquals(Number((await client.get("/")).get("visits")), visits + 1);
    const counted = await client.post("/visits", { page: "/about" });
    assertEquals(counted.get("visits"), 1);
    assertEquals((await client.get("/visits?page=/about")).get("visits"), 1);
  });
});
