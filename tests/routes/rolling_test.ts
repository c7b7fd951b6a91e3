// A rolling upgrade: a replica of a later version writes fields unknown to this one. This version runs
// beside it, keeps the fields it cannot read, and writes none of the kind itself.
import { assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { NewEvent } from "$events/mod.ts";
import { projections } from "$projections/mod.ts";
import { connect, inTransaction, type Sql, type Tx } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { checkReplay } from "$src/projector/replay.ts";
import { exportKeys } from "$src/store/key_export.ts";
import { migrate } from "$src/store/migrate.ts";
import { encrypt, findKeys } from "$src/store/personal_data.ts";
import { readEvents, readStored } from "$src/store/read.ts";
import { canonical, sealOf } from "$src/store/hash_chain.ts";
import { exportEvents, importEvents } from "$src/store/export_import.ts";
import { verifyLog } from "$src/store/verify.ts";
import { type ApiClient, idOf } from "../support/api.ts";
import { freshDatabase } from "../support/database.ts";
import { openService, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

type Later = {
  stream: string;
  event: NewEvent;
  more: Record<string, unknown>;
  rows?: (tx: Tx, position: number) => PromiseLike<unknown>[];
};

const META = { actor: "system" };

/** Appends to the log with the right seal and no projections, as a replica of a later version would. */
async function writeLater(sql: Sql, { stream, event, more, rows }: Later): Promise<number> {
  return await inTransaction(sql, async (tx) => {
    const [head] = await tx<{ position: number; seal: string; at: Date }[]>`
      select position + 1 as position, seal, greatest(at, clock_timestamp())::timestamptz(3) as at
      from counter for update`;
    const [last] = await tx<{ version: number }[]>`
      select coalesce(max(version), 0) + 1 as version from events where stream = ${stream}`;
    if (!head || !last) throw new Error("a log without a counter");
    const key = (await findKeys(tx, [stream])).get(stream);
    const known = key ? encrypt(event.type, event.data, stream, key) : event.data;
    const data = canonical({ ...known, ...more });
    const { position, at } = head;
    const row = { position, stream, version: last.version, type: event.type, at };
    const seal = sealOf(head.seal, row, data, canonical(META));
    await tx`
      insert into events (position, stream, version, type, data, meta, at, seal)
      values (${position}, ${stream}, ${row.version}, ${row.type}, ${data}::text::jsonb,
        ${canonical(META)}::text::jsonb, ${at}, ${seal})`;
    await Promise.all(rows?.(tx, position) ?? []);
    await tx`update counter set position = ${position}, seal = ${seal}, at = ${at}`;
    await tx`select pg_notify('tallybook', ${String(position)})`;
    return position;
  });
}

async function exported(sql: Sql): Promise<string[]> {
  let text = "";
  for await (const page of exportEvents(sql, {})) text += page.text;
  return text.split("\n").slice(0, -1);
}

async function* each(lines: string[]): AsyncGenerator<string> {
  for (const line of lines) yield await Promise.resolve(line);
}

describe("a field added by a later version", () => {
  let service: Service;
  let entry: number;
  let poll: number;
  let position: number;
  let visitor: ApiClient;

  before(async () => {
    service = await openService();
    visitor = service.client();
    entry = idOf(await visitor.post("/sign", { name: "Ada", message: "As it was" }));
    const asked = { question: "Which?", options: ["Tea", "Coffee"] };
    poll = idOf(await service.admin().post("/polls", asked));
    // Kept in the caches, which must let go of it.
    for (const path of [`/entries/${entry}`, `/polls/${poll}`]) await service.client().get(path);
    const { owner } = service.place;
    await writeLater(owner, {
      stream: `entry-${entry}`,
      event: { type: "EntryEdited", data: { id: entry, message: "As it is" } },
      more: { mood: "glad", whisper: { $enc: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" } },
    });
    const { options } = JSON.parse((await service.client().get(`/polls/${poll}`)).text);
    const coloured = options.map(({ id, text }: { id: string; text: string }) => ({
      ...{ id, text: `${text}!`, colour: { dark: "#123", light: "#def" } },
    }));
    await writeLater(owner, {
      stream: `poll-${poll}`,
      event: { type: "PollChanged", data: { id: poll } },
      more: { options: coloured, theme: "spring" },
    });
    position = await writeLater(owner, {
      stream: "visits-/later",
      event: { type: "VisitsCounted", data: { page: "/later", count: 7 } },
      more: { from: "elsewhere" },
    });
  });
  after(async () => await service[Symbol.asyncDispose]());

  it("stops no projection, and leaves no stale cached value", async () => {
    const health = await waitFor(async () => {
      const answer = await service.client().get("/health");
      const states = answer.get("projections") as { position: number; error: string | null }[];
      const over = states.every((one) => one.position >= position || one.error !== null);
      return over && Number(answer.get("visible")) >= position && answer;
    });
    assertEquals(health.get("status"), "healthy", health.text);
    const read = await service.client().get(`/entries/${entry}`);
    assertEquals(read.get("message"), "As it is");
    const asked = await service.client().get(`/polls/${poll}`);
    assertEquals([asked.get("options.0.text"), asked.get("options.1.text")], ["Tea!", "Coffee!"]);
    assertEquals((await service.client().get("/visits?page=/later")).get("visits"), 7);
  });

  it("does not keep anybody from writing", async () => {
    const edit = await visitor.put(`/entries/${entry}`, { message: "Mine again" });
    assertEquals(edit.status, 200, edit.text);
    assertEquals((await visitor.post(`/polls/${poll}/votes`, { option: "Tea!" })).status, 201);
    const change = await service.admin().put(`/polls/${poll}`, { question: "Which one?" });
    assertEquals(change.status, 200, change.text);
  });

  it("is left out of reads, and kept whole in the log", async () => {
    const { owner } = service.place;
    const at = { after: position - 3, until: position };
    const [edited, changed, counted] = await readEvents(owner, at);
    assertEquals(edited?.data, { id: entry, message: "As it is" });
    assertEquals(Object.keys(changed?.data ?? {}).sort(), ["id", "options"]);
    const { options } = changed?.data as { options: object[] };
    assertEquals(options.map((option) => Object.keys(option).sort()), [["id", "text"], [
      "id",
      "text",
    ]]);
    assertEquals(counted?.data, { page: "/later", count: 7 });
    const stored = await readStored(owner, at);
    assertEquals(
      stored.map(({ data }) => Object.keys(data as object).sort()),
      [["id", "message", "mood", "whisper"], ["id", "options", "theme"], ["count", "from", "page"]],
    );
    const { text } = await service.admin().get(`/events?after=${position - 3}`);
    for (const word of ["glad", "#def", "spring", "elsewhere"]) {
      assertEquals(text.includes(word), true, word);
    }
  });

  it("is sealed, exported, imported and verified", async () => {
    const { owner } = service.place;
    assertEquals((await verifyLog(owner)).ok, true);
    const [lines, keys] = [await exported(owner), await Array.fromAsync(exportKeys(owner))];
    await using other = await freshDatabase();
    const sql = connect(other.ownerUrl, { max: 3 });
    try {
      await migrate(sql);
      const options = { keys: each(keys.join("").split("\n").filter(Boolean)) };
      await importEvents({ sql, embedded: false }, each(lines), options);
      assertEquals(await exported(sql), lines);
      assertEquals((await verifyLog(sql)).ok, true);
      const tampered = lines.map((line) => line.replace("glad", "grim"));
      await assertRejects(
        () => importEvents({ sql, embedded: false }, each(tampered)),
        AppError,
      );
    } finally {
      await sql.end({ timeout: 5 });
    }
  });

  it("makes no difference to a replay", async () => {
    for (const one of projections) {
      const differences = await checkReplay(service.services.sql, one);
      assertEquals(differences, [], one.name);
    }
  });

  it("may come in an event of an unknown type: then no cached value is served", async () => {
    const { owner } = service.place;
    const id = idOf(await visitor.post("/sign", { name: "Bob", message: "As it was" }));
    const message = async () => (await service.client().get(`/entries/${id}`)).get("message");
    assertEquals([await message(), await message()], ["As it was", "As it was"]);
    // The later replica has already set the rows, in the same transaction.
    const at = await writeLater(owner, {
      stream: `later-${id}`,
      event: { type: "EntryUnderlined" as "EntryHidden", data: { id } },
      more: {},
      rows: (tx, position) => [
        tx`update read.entries set message = 'As it is' where id = ${id}`,
        tx`update read.projections set position = ${position}`,
      ],
    });
    await waitFor(async () => {
      const health = await service.client().get("/health");
      return Number(health.get("visible")) >= at;
    });
    assertEquals(await message(), "As it is");
  });

  it("is never written by this version itself", async () => {
    const { appender } = service.services;
    const item = { id: 1, name: "a", description: "", colour: "red" };
    const option = { id: "a", text: "A", colour: "red" };
    const odd: NewEvent[] = [
      { type: "ItemCreated", data: item },
      { type: "PollChanged", data: { id: poll, options: [option] } },
    ];
    for (const event of odd) {
      const streams = [{ stream: "test-1", expected: "any" as const, events: [event] }];
      const refused = await assertRejects(
        () => appender.append({ streams, meta: { actor: "system" } }),
        AppError,
      );
      assertEquals([refused.code, refused.message.includes("colour")], ["invalid", true]);
    }
  });
});
