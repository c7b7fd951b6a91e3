// Erasure: the text is gone everywhere, and the log still verifies.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { projections } from "$projections/mod.ts";
import { checkReplay, replay } from "$src/projector/replay.ts";
import { exportEvents } from "$src/store/export_import.ts";
import { verifyLog } from "$src/store/verify.ts";
import { idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

describe("erasure", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  /** Everything that a dump, an export or Redis contains. */
  async function everything(): Promise<string> {
    const { owner, redis } = service.place;
    const tables = await owner<{ name: string }[]>`
      select format('%I.%I', n.nspname, c.relname) as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and n.nspname in ('public', 'read')`;
    const rows = await Promise.all(
      tables.map(({ name }) => owner.unsafe(`select t::text as text from ${name} t`)),
    );
    const lines: string[] = rows.flatMap((found) => found.map(({ text }) => String(text)));
    for await (const { text } of exportEvents(owner, {})) lines.push(text);
    const keys = await redis?.link.keys("*") ?? [];
    for (const key of keys) {
      if (await redis?.link.type(key) === "string") lines.push(await redis?.link.get(key) ?? "");
    }
    return lines.join("\n");
  }

  /** pg_dump itself, where it is installed beside the server. */
  async function dump(): Promise<string> {
    const url = new URL(service.place.settings.DATABASE_URL ?? "");
    const [row] = await service.place.owner<{ dir: string }[]>`
      select setting as dir from pg_config where name = 'BINDIR'`;
    const env = { PGPASSWORD: url.password };
    const args = [
      "-h",
      url.hostname,
      "-p",
      url.port,
      "-U",
      url.username,
      "-n",
      "read",
      service.place.databaseName,
    ];
    const { success, stdout, stderr } = await new Deno.Command(`${row?.dir}/pg_dump`, { args, env })
      .output();
    assert(success, new TextDecoder().decode(stderr));
    return new TextDecoder().decode(stdout);
  }

  async function asTables(): Promise<string> {
    const { owner } = service.place;
    // Views are still being written to the log meanwhile.
    const still = projections.filter(({ name }) => name !== "visits");
    const found = await Promise.all(
      still.flatMap(({ tables }) => tables).map((name) =>
        owner`select t::text as text from ${owner(`read.${name}`)} t order by 1`
      ),
    );
    return JSON.stringify(found);
  }

  async function assertIntact(): Promise<void> {
    const verdict = await verifyLog(service.place.owner);
    assert(verdict.ok, JSON.stringify(verdict));
    const before = await asTables();
    for (const projection of projections) {
      assertEquals(await checkReplay(service.services.sql, projection), []);
      await replay(service.services.sql, projection);
    }
    assertEquals(await asTables(), before);
  }

  for (const verb of ["erase", "delete"] as const) {
    it(`of an entry (${verb}) removes its text from read models, Redis, exports and dumps`, async () => {
      const secret = `secret-${crypto.randomUUID()}`;
      const author = service.client();
      const entry = await author.post("/sign", { name: secret, message: secret });
      const id = idOf(entry);
      await author.put(`/entries/${id}`, { message: `${secret} edited` });
      for (const path of ["/", "/entries", `/entries/${id}`, "/feed.atom", "/entries/mine"]) {
        assert((await author.get(path)).text.includes(secret), path);
      }
      assert((await everything()).includes(secret));
      const total = Number((await author.get("/")).get("total"));
      const done = verb === "erase"
        ? await service.admin().post(`/entries/${id}/erase`)
        : await author.delete(`/entries/${id}`);
      assertEquals(done.status, 200, done.text);
      assert(!(await everything()).includes(secret));
      assert(!(await dump()).includes(secret));
      for (const path of ["/", "/entries", "/feed.atom", "/entries/mine"]) {
        assert(!(await author.get(path)).text.includes(secret), path);
      }
      const position = entry.headers.get("tallybook-position");
      for (const path of [`/entries/${id}`, `/entries/${id}?asOf=${position}`]) {
        assertEquals((await author.get(path)).status, 404, path);
      }
      assertEquals(Number((await author.get("/")).get("total")), total - 1);
      assertEquals((await service.admin().post(`/entries/${id}/erase`)).status, 404);
      await assertIntact();
    });
  }

  it("of an active or deleted user removes the text everywhere and frees the e-mail address", async () => {
    for (const first of ["active", "deleted"]) {
      const secret = `secret-${crypto.randomUUID()}`;
      const body = { name: secret, email: `${secret}@example.com` };
      const user = await service.client().post("/users", body);
      const id = idOf(user);
      const position = user.headers.get("tallybook-position");
      assert((await service.client().get("/users?limit=100")).text.includes(secret));
      assert((await service.client().get(`/users/${id}?asOf=${position}`)).text.includes(secret));
      if (first === "deleted") await service.client().delete(`/users/${id}`);
      const [one] = await Promise.all([
        service.client().post(`/users/${id}/erase`),
      ]);
      assertEquals(one.status, 401);
      assertEquals((await service.admin().post(`/users/${id}/erase`)).status, 200, first);
      assert(!(await everything()).includes(secret), first);
      assert(!(await dump()).includes(secret), first);
      assertEquals((await service.client().get(`/users/${id}?asOf=${position}`)).status, 404);
      const history = await service.admin().get(`/users/${id}/history`);
      assert(!history.text.includes(secret));
      assert(history.text.includes("UserErased"));
      assertEquals(
        (await service.client().post("/users", body)).status,
        201,
        "the address is free",
      );
      await assertIntact();
    }
  });

  it("reaches the tables of an interrupted replay", async () => {
    const secret = `secret-${crypto.randomUUID()}`;
    const signed = await service.client().post("/sign", { name: "x", message: secret });
    const [id, position] = [idOf(signed), Number(signed.headers.get("tallybook-position"))];
    for (let i = 0; i < 30; i++) {
      await service.client().post("/sign", { name: "x", message: "more" });
    }
    const guestbook = projections.filter(({ name }) => name === "guestbook");
    const stop = new AbortController();
    for (const one of guestbook) {
      const onProgress = (done: number) => {
        if (done >= position) stop.abort(new Error("cut off"));
      };
      await replay(service.services.sql, one, { page: 10, signal: stop.signal, onProgress })
        .catch(() => assert(stop.signal.aborted));
    }
    const { owner } = service.place;
    const left = await owner`select from read.entries_next where message = ${secret}`;
    assertEquals(left.length, 1, "the rebuild got that far");
    await service.admin().post(`/entries/${id}/erase`);
    await waitFor(async () => !(await everything()).includes(secret), 8000);
    await assertIntact();
  });

  it("covers the stored answer of an idempotent request: a repeat is blank", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const body = { name: "x", message: "never again" };
    const id = idOf(await service.client().post("/sign", body, headers));
    await service.admin().post(`/entries/${id}/erase`);
    const again = await service.client().post("/sign", body, headers);
    assertEquals([again.status, again.get("message")], [201, ""]);
  });
});
