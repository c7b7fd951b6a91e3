// Server-sent events: none is missed, and none arrives after a newer one.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { idOf } from "../support/api.ts";
import { ADMIN_TOKEN, openService, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

type Message = { id: number; event: string; data: Record<string, unknown> };

/** Listens until disposed; when cut off, it reconnects with the last id it saw, as a browser does. */
async function listen(url: string, headers: Record<string, string> = {}) {
  const stop = new AbortController();
  const response = await fetch(url, { headers, signal: stop.signal });
  assertEquals(response.headers.get("content-type")?.split(";")[0], "text/event-stream");
  const got: Message[] = [];
  const read = async ({ body }: Response) => {
    let text = "";
    for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const parts = (text + chunk).split("\n\n");
      text = parts.pop() ?? "";
      got.push(...parts.flatMap(parse));
    }
  };
  const reading = (async () => {
    await read(response);
    while (!stop.signal.aborted) {
      const last = { ...headers, "last-event-id": String(got.at(-1)?.id ?? "") };
      await read(await fetch(url, { headers: last, signal: stop.signal }));
    }
  })().catch(() => {});
  return {
    got,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await reading;
    },
  };
}

function parse(part: string): Message[] {
  const fields = Object.fromEntries(
    part.split("\n").map((line) => {
      const at = line.indexOf(": ");
      return [line.slice(0, at), line.slice(at + 2)];
    }),
  );
  if (fields.data === undefined) return [];
  return [{ id: Number(fields.id), event: fields.event ?? "", data: JSON.parse(fields.data) }];
}

describe("a live stream", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  const votes = ({ got }: { got: Message[] }) => Number(got.at(-1)?.data.voters ?? -1);

  it("sends a poll at once, and each vote soon after, from every replica", async () => {
    await using other = await service.place.open();
    const poll = idOf(await service.admin().post("/polls", { question: "?", options: ["a", "b"] }));
    await using here = await listen(`${service.url}/polls/${poll}/live`);
    await using there = await listen(`${other.url}/polls/${poll}/live`);
    await waitFor(() => votes(here) === 0 && votes(there) === 0);
    for (let count = 1; count <= 30; count++) {
      await (count % 2 ? service : other).client().post(`/polls/${poll}/votes`, { option: "a" });
      await waitFor(() => votes(here) === count && votes(there) === count, 3000, `vote ${count}`);
    }
    for (const { got } of [here, there]) {
      const ids = got.map(({ id }) => id);
      assertEquals(ids, [...new Set(ids)].toSorted((a, b) => a - b));
    }
  });

  it("announces an entry when it is approved, and not when an old one is restored", async () => {
    await using moderated = await service.place.open({ MODERATION: "before" });
    const sign = async () =>
      idOf(await moderated.client().post("/sign", { name: "Ada", message: "Hi" }));
    const old = await sign();
    for (let i = 0; i < 10; i++) await service.client().post("/sign", { name: "B", message: "c" });
    const fresh = await sign();
    await using entries = await listen(`${service.url}/entries/live`);
    const told = () => entries.got.flatMap(({ data }) => data.added);
    await moderated.admin().post(`/entries/${old}/restore`);
    await moderated.admin().post(`/entries/${fresh}/restore`);
    await waitFor(() => told().includes(fresh));
    assertEquals(told(), [fresh]);
  });

  it("resumes after the last id, and repeats nothing the client has", async () => {
    const poll = idOf(await service.admin().post("/polls", { question: "?", options: ["a", "b"] }));
    const url = `${service.url}/polls/${poll}/live`;
    let last = 0;
    {
      await using first = await listen(url);
      await waitFor(() => votes(first) === 0);
      last = first.got.at(-1)?.id ?? 0;
    }
    await using known = await listen(url, { "last-event-id": String(last) });
    await service.client().post(`/polls/${poll}/votes`, { option: "a" });
    await waitFor(() => votes(known) === 1);
    assertEquals(known.got.length, 1);
    await using odd = await listen(url, { "last-event-id": "99999999999" });
    await waitFor(() => votes(odd) === 1);
    await using empty = await listen(url, { "last-event-id": "" });
    await waitFor(() => votes(empty) === 1);
  });

  it("delivers the log without a gap, however much was missed", async () => {
    const admin = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const start = Number((await service.client().get("/health")).get("position"));
    await Promise.all(
      Array.from({ length: 350 }, (_, i) => service.client().post("/items", { name: `item ${i}` })),
    );
    const headers = { ...admin, "last-event-id": String(start) };
    await using log = await listen(`${service.url}/events/live`, headers);
    await waitFor(() => log.got.length >= 200);
    await Promise.all(
      Array.from({ length: 250 }, (_, i) => service.client().post("/items", { name: `more ${i}` })),
    );
    const head = Number((await service.client().get("/health")).get("position"));
    await waitFor(() => (log.got.at(-1)?.id ?? 0) >= head);
    const positions = log.got.map(({ id }) => id).filter((id) => id <= head);
    assertEquals(positions, Array.from({ length: head - start }, (_, i) => start + 1 + i));
  });

  it("filters the log, and sends personal fields as they are stored", async () => {
    const url = `${service.url}/events/live?type=EntrySigned`;
    assertEquals((await service.client().get("/events/live")).status, 401);
    await using log = await listen(url, { authorization: `Bearer ${ADMIN_TOKEN}` });
    await service.client().post("/items", { name: "not told" });
    await service.client().post("/sign", { name: "Ada", message: "a secret" });
    await waitFor(() => log.got.length === 1);
    assertEquals(log.got[0]?.data.type, "EntrySigned");
    assert(!JSON.stringify(log.got).includes("a secret"));
  });

  it("announces entries as they are signed, and the total", async () => {
    await using entries = await listen(`${service.url}/entries/live`);
    const id = idOf(await service.client().post("/sign", { name: "Ada", message: "live" }));
    await waitFor(() => entries.got.some(({ data }) => String(data.added) === String(id)));
    const before = Number(entries.got.at(-1)?.data.total);
    await service.admin().post(`/entries/${id}/hide`);
    await waitFor(() => entries.got.at(-1)?.data.total === before - 1);
  });

  it("answers HEAD without a stream, and removes disconnected subscribers", async () => {
    const listeners = async () => {
      const { text } = await service.client().get("/metrics");
      return Number(text.match(/^tallybook_live_listeners (\d+)/m)?.[1]);
    };
    await waitFor(async () => await listeners() === 0);
    for (const path of ["/polls/1/live", "/entries/live"]) {
      const head = await service.client().ask(path, { method: "HEAD" });
      assertEquals([head.status, head.headers.get("content-type")], [200, "text/event-stream"]);
    }
    assertEquals(await listeners(), 0);
    {
      await using _ = await listen(`${service.url}/entries/live`);
      await waitFor(async () => await listeners() === 1);
    }
    await service.client().post("/sign", { name: "Ada", message: "nobody listens" });
    await waitFor(async () => await listeners() === 0);
  });
});
