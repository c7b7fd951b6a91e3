// One entry with a damaged key must not break the page that lists it.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { guestbook } from "$projections/guestbook.ts";
import { users } from "$projections/users.ts";
import { replay } from "$src/projector/replay.ts";
import { idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

describe("an entry and a user with damaged keys", () => {
  let service: Service;
  let entry: number;
  let user: number;
  before(async () => {
    service = await openService();
    const client = service.client();
    for (const name of ["Ada", "Bob", "Cleo"]) {
      const signed = await client.post("/sign", { name, message: `words of ${name}` });
      if (name === "Bob") entry = idOf(signed);
      const created = await client.post("/users", { name, email: `${name}@example.org` });
      if (name === "Bob") user = idOf(created);
    }
    const subjects = [`entry-${entry}`, `user-${user}`];
    await service.place.owner`
      update keys set key = '\\x00' where subject = any(${subjects}::text[])`;
    // Pages are read from the log again, as after any new revision.
    for (const one of [guestbook, users]) await replay(service.services.sql, one);
    await service.services.cache.backend.clear();
  });
  after(() => service[Symbol.asyncDispose]());

  const names = async (path: string) => {
    const answer = await service.client().get(path);
    assertEquals(answer.status, 200, answer.text);
    return (JSON.parse(answer.text) as { name: string }[]).map(({ name }) => name);
  };

  it("are missing from lists that show all the others", async () => {
    assertEquals(await names("/users"), ["Ada", "Cleo"]);
    const page = await service.client().get("/", { accept: "text/html" });
    assertEquals(page.status, 200);
    assert(page.text.includes("words of Ada") && page.text.includes("words of Cleo"));
    assert(!page.text.includes("words of Bob"));
    assertEquals((await service.client().get(`/entries/${entry}`)).status, 404);
    assertEquals((await service.client().get("/entries")).status, 200);
  });

  it("are named on /health and counted in the metrics", async () => {
    const health = await service.client().get("/health");
    assertEquals([health.status, health.get("status")], [200, "degraded"]);
    assertEquals(health.get("unreadable"), [`entry-${entry}`, `user-${user}`]);
    const { text } = await service.client().get("/metrics");
    assert(/^tallybook_unreadable_subjects 2$/m.test(text), text.slice(0, 500));
    const desk = await service.admin().get("/admin/health", { accept: "text/html" });
    assert(desk.text.includes(`entry-${entry}`));
  });

  it("are named by verify, and shown as undecryptable in the log", async () => {
    const admin = service.admin();
    const verdict = await admin.post("/admin/verify");
    assertEquals(verdict.get("ok"), true);
    const named = verdict.get("unreadable") as { position: number; subject: string }[];
    assertEquals(named.map(({ subject }) => subject), [`entry-${entry}`, `user-${user}`]);
    const page = await admin.ask("/admin/verify", {
      method: "POST",
      headers: { accept: "text/html" },
    });
    assert(page.text.includes(`the key of entry-${entry}`), page.text);
    const event = await admin.get(`/admin/log/${named[0]?.position}`, { accept: "text/html" });
    assert(event.text.includes("do not open with their key"));
    assertEquals((await admin.get(`/users/${user}/history`)).status, 200);
  });

  it("refuse changes with an explanation, and hold up no other write", async () => {
    const answer = await service.admin().put(`/entries/${entry}`, { message: "more" });
    assertEquals(answer.status, 409, answer.text);
    assert(answer.text.includes("damaged"));
    const other = await service.client().post("/sign", { name: "Dan", message: "goes on" });
    assertEquals(other.status, 201);
    assertEquals(other.headers.get("tallybook-visible"), null);
  });

  it("can be erased by an admin, after which everything is well", async () => {
    assertEquals((await service.admin().post(`/entries/${entry}/erase`)).status, 200);
    assertEquals((await service.admin().post(`/users/${user}/erase`)).status, 200);
    await waitFor(async () => (await service.client().get("/health")).get("status") === "healthy");
    assertEquals((await service.admin().post("/admin/verify")).get("unreadable"), undefined);
  });
});
