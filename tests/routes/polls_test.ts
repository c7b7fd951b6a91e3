import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { createHash } from "node:crypto";
import { isSigned, parseHead } from "$src/store/signed_head.ts";
import { replay } from "$src/projector/replay.ts";
import { polls as projection } from "$projections/polls.ts";
import { isCounted } from "$projections/votes.ts";
import { type ApiClient, type ApiResponse, fieldsOf, idOf } from "../support/api.ts";
import { openService, type Replica, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

type Counted = { voters: number; votes: number; options: { id: string; votes: number }[] };

function soon(ms: number): string {
  return new Date(Date.now() + ms).toISOString();
}

function countsOf(answer: ApiResponse): Record<string, number> {
  const { options } = answer.get() as Counted;
  return Object.fromEntries(options.map(({ id, votes }) => [id, votes]));
}

describe("polls", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  async function open(more: Record<string, unknown> = {}): Promise<number> {
    const body = { question: "Tea?", options: ["Yes", "No", "Maybe"], ...more };
    const answer = await service.admin().post("/polls", body);
    assertEquals(answer.status, 201, answer.text);
    return idOf(answer);
  }

  async function voted(poll: number, option: string | string[]): Promise<[ApiClient, ApiResponse]> {
    const client = service.client();
    return [client, await client.post(`/polls/${poll}/votes`, { option })];
  }

  it("are opened by an admin only, and refused by field when invalid", async () => {
    const good = { question: "Tea?", options: ["Yes", "No"] };
    assertEquals((await service.client().post("/polls", good)).status, 401);
    const [, before] = await Promise.all([1, service.admin().get("/polls?limit=100")]);
    const wrong: [string, Record<string, unknown>][] = [
      ["question", { ...good, question: "" }],
      ["question", { ...good, question: "x".repeat(301) }],
      ["options", { ...good, options: ["only one"] }],
      ["options", { ...good, options: Array.from({ length: 21 }, (_, i) => `option ${i}`) }],
      ["options", { ...good, options: ["same", "same"] }],
      ["options", { ...good, options: [{ id: "a", text: "A" }, { id: "a", text: "B" }] }],
      ["options.0", { ...good, options: [" ", "x"] }],
      ["options.1", { ...good, options: ["x", { id: "Not a slug", text: "x y" }] }],
      ["closes_at", { ...good, closes_at: soon(-1000) }],
      ["closes_at", { ...good, closes_at: "tomorrow" }],
      ["choice", { ...good, choice: "some" }],
      ["results", { ...good, results: "never" }],
    ];
    for (const [field, body] of wrong) {
      const answer = await service.admin().post("/polls", body);
      assertEquals(answer.status, 422, JSON.stringify(body));
      assert(fieldsOf(answer).some((name) => name.startsWith(field)), `${field}: ${answer.text}`);
    }
    assertEquals((await service.admin().get("/polls?limit=100")).text, before.text);
  });

  it("are opened by a form, one option a line", async () => {
    const form = { question: "Cake?", options: "Yes\r\nNo\n\n", closes_at: "" };
    const answer = await service.admin().form("/polls", form);
    assertEquals(answer.status, 303);
    const poll = await service.client().get(answer.headers.get("location") ?? "");
    assertEquals(poll.get("options"), [{ id: "1", text: "Yes", votes: 0 }, {
      id: "2",
      text: "No",
      votes: 0,
    }]);
    assertEquals(poll.get("closes_at"), null);
  });

  it("take one vote a voter; a changed vote moves one count down and one up", async () => {
    const poll = await open();
    const [client, first] = await voted(poll, "1");
    assertEquals(first.status, 201);
    assertEquals(countsOf(await client.get(`/polls/${poll}/results`)), { 1: 1, 2: 0, 3: 0 });
    const changed = await client.post(`/polls/${poll}/votes`, { option: "No" });
    assertEquals([changed.status, changed.get("options")], [200, ["2"]]);
    assert(changed.get("receipt") !== first.get("receipt"));
    assertEquals(countsOf(await client.get(`/polls/${poll}/results`)), { 1: 0, 2: 1, 3: 0 });
    const same = await client.post(`/polls/${poll}/votes`, { option: "2" });
    assertEquals([same.status, same.get("receipt")], [200, changed.get("receipt")]);
    const withdrawn = await client.delete(`/polls/${poll}/votes`);
    assertEquals([withdrawn.status, withdrawn.get("message")], [200, "Withdrawn"]);
    const none = await client.get(`/polls/${poll}/results`);
    assertEquals([countsOf(none), none.get("voters")], [{ 1: 0, 2: 0, 3: 0 }, 0]);
    assertEquals((await client.delete(`/polls/${poll}/votes`)).status, 404);
    assertEquals((await service.client().delete(`/polls/${poll}/votes`)).status, 404);
    const again = await client.post(`/polls/${poll}/votes`, { option: "3" });
    assertEquals(again.status, 201);
  });

  it("count votes and voters separately in a multiple choice, by form too", async () => {
    const poll = await open({ choice: "multiple" });
    await voted(poll, ["1", "3", "1"]);
    const form = await service.client().form(`/polls/${poll}/votes`, [
      ["option", "1"],
      ["option", "2"],
    ]);
    assertEquals(form.status, 303);
    assert(form.headers.get("location")?.startsWith(`/polls/${poll}/mine?thanks=`));
    const results = await service.client().get(`/polls/${poll}/results`);
    assertEquals([results.get("voters"), results.get("votes")], [2, 4]);
    assertEquals(countsOf(results), { 1: 2, 2: 1, 3: 1 });
    const csv = await service.client().get(`/polls/${poll}/results.csv`);
    assertEquals(csv.text, "option,text,votes\r\n1,Yes,2\r\n2,No,1\r\n3,Maybe,1\r\n");
  });

  it("refuse votes for unknown polls and options, naming the field", async () => {
    const poll = await open();
    for (const option of ["4", "", [], ["1", "2"], "yes"]) {
      const [, answer] = await voted(poll, option);
      assertEquals([answer.status, fieldsOf(answer)], [422, ["option"]], JSON.stringify(option));
    }
    assertEquals((await service.client().post(`/polls/${poll}/votes`, {})).status, 422);
    assertEquals((await voted(999999, "1"))[1].status, 404);
  });

  it("close and reopen, for votes in the same process and in another one", async () => {
    await using other = await service.place.open();
    const poll = await open();
    const admin = service.admin();
    const both: Replica[] = [service, other];
    for (let round = 0; round < 3; round++) {
      for (const { client } of both) {
        assertEquals((await client().post(`/polls/${poll}/votes`, { option: "1" })).status, 201);
      }
      assertEquals((await admin.post(`/polls/${poll}/close`)).status, 200);
      for (const { client } of both) {
        assertEquals((await client().post(`/polls/${poll}/votes`, { option: "1" })).status, 409);
      }
      assertEquals((await admin.post(`/polls/${poll}/reopen`)).status, 200);
    }
    const put = await admin.put(`/polls/${poll}`, { options: ["Yes", "No", "Maybe", "Later"] });
    assertEquals(put.status, 200, put.text);
    for (const { client } of both) {
      const answer = await client().post(`/polls/${poll}/votes`, { option: "Later" });
      assertEquals(answer.status, 201, answer.text);
    }
    const results = await service.client().get(`/polls/${poll}/results`);
    assertEquals(countsOf(results), { 1: 6, 2: 0, 3: 0, 4: 2 });
  });

  it("close by themselves with an event, and take no vote after the deadline", async () => {
    const poll = await open({ closes_at: soon(700) });
    const statuses: number[] = [];
    let accepted = 0;
    await waitFor(async () => {
      const [, answer] = await voted(poll, "1");
      statuses.push(answer.status);
      if (answer.status === 201) accepted++;
      return answer.status === 409;
    });
    assertEquals(new Set(statuses), new Set([201, 409]));
    await waitFor(async () =>
      (await service.client().get(`/polls/${poll}`)).get("state") === "closed"
    );
    const results = await service.client().get(`/polls/${poll}/results`);
    assertEquals(results.get("voters"), accepted);
    const [closing] = await service.place.owner<{ by: string; late: boolean }[]>`
      select data->>'by' as by, at >= (
        select (data->>'closes_at')::timestamptz from events where stream = ${`poll-${poll}`}
          and version = 1) as late
      from events where stream = ${`poll-${poll}`} and type = 'PollClosed'`;
    assertEquals(closing, { by: "deadline", late: true });
    const [late] = await service.place.owner`
      select from events where type = 'VoteCast' and (data->>'poll')::int = ${poll} and at >= (
        select (data->>'closes_at')::timestamptz from events
        where stream = ${`poll-${poll}`} and version = 1)`;
    assertEquals(late, undefined);
  });

  it("follow a deadline that is moved earlier or later", async () => {
    const poll = await open({ closes_at: soon(60_000) });
    assertEquals((await voted(poll, "1"))[1].status, 201);
    await service.admin().put(`/polls/${poll}`, { closes_at: soon(300) });
    await waitFor(async () =>
      (await service.client().get(`/polls/${poll}`)).get("state") === "closed"
    );
    const again = { closes_at: soon(60_000) };
    assertEquals((await service.admin().post(`/polls/${poll}/reopen`, again)).status, 200);
    assertEquals((await voted(poll, "2"))[1].status, 201);
  });

  it("change by adding and rewording options, never by removing one", async () => {
    const poll = await open();
    const [client] = await voted(poll, "2");
    const less = await service.admin().put(`/polls/${poll}`, { options: ["Yes", "No"] });
    assertEquals([less.status, fieldsOf(less)], [422, ["options"]]);
    const options = [{ id: "2", text: "Nope" }, "Yes", "Maybe", "Other"];
    assertEquals((await service.admin().put(`/polls/${poll}`, { options })).status, 200);
    const { get } = await client.get(`/polls/${poll}`);
    assertEquals(get("options"), [
      { id: "2", text: "Nope", votes: 1 },
      { id: "1", text: "Yes", votes: 0 },
      { id: "3", text: "Maybe", votes: 0 },
      { id: "4", text: "Other", votes: 0 },
    ]);
  });

  it("are gone from every page and list when deleted", async () => {
    const poll = await open();
    const [client, vote] = await voted(poll, "1");
    assertEquals((await service.admin().delete(`/polls/${poll}`)).status, 200);
    for (
      const path of [
        "",
        "/results",
        "/results.csv",
        "/ballots",
        "/mine",
        "/live",
        "/results?asOf=1",
      ]
    ) {
      assertEquals((await client.get(`/polls/${poll}${path}`)).status, 404, path);
    }
    const receipt = await client.get(`/receipts/${vote.get("receipt")}`);
    assertEquals([receipt.status, receipt.get("counted")], [200, false]);
    const list = (await client.get("/polls?limit=100")).get() as { id: number }[];
    assert(!list.some(({ id }) => id === poll));
  });

  describe("receipts and ballots", () => {
    it("state where a vote is counted, with its seal and a signed head", async () => {
      const poll = await open();
      const [client, first] = await voted(poll, "1");
      const receipt = await client.get(`/receipts/${first.get("receipt")}`);
      assertEquals([receipt.status, receipt.get("counted"), receipt.get("poll")], [
        200,
        true,
        poll,
      ]);
      const [event] = await service.place.owner<{ seal: string; type: string }[]>`
        select seal, type from events where position = ${Number(receipt.get("position"))}`;
      assertEquals(event, { seal: String(receipt.get("seal")), type: "VoteCast" });
      const head = parseHead(JSON.stringify(receipt.get("head")));
      assert(isSigned(head));
      assert(!isSigned({ ...head, position: head.position + 1 }));
      const changed = await client.post(`/polls/${poll}/votes`, { option: "2" });
      const old = await client.get(`/receipts/${first.get("receipt")}`);
      assertEquals([old.status, old.get("counted")], [200, false]);
      const current = await client.get(`/receipts/${changed.get("receipt")}`);
      assertEquals([current.status, current.get("counted")], [200, true]);
    });

    it("state that a vote is not counted yet while the counts are behind it", async () => {
      const [, vote] = await voted(await open(), "1");
      const position = Number(vote.headers.get("tallybook-position"));
      const behind = new Error("taken back");
      const found: boolean[] = [];
      await assertRejects(
        () =>
          service.place.owner.begin(async (tx) => {
            const [{ stream = "" } = {}] = await tx<{ stream: string }[]>`
            select stream from events where position = ${position}`;
            const event = { stream, position };
            found.push(await isCounted(tx, event));
            await tx`update read.projections set position = ${position - 1} where name = 'polls'`;
            found.push(await isCounted(tx, event));
            throw behind;
          }),
        Error,
        behind.message,
      );
      assertEquals(found, [true, false]);
    });

    it("cannot be forged", async () => {
      const [, answer] = await voted(await open(), "1");
      const [position = "", seal = ""] = String(answer.get("receipt")).split("-");
      const zeros = "0".repeat(32);
      for (const made of [`${position}-${zeros}`, `1-${seal}`, `0-${zeros}`, "x", `-1-${seal}`]) {
        assertEquals((await service.client().get(`/receipts/${made}`)).status, 404, made);
      }
    });

    it("let anybody recount, and name nobody", async () => {
      const poll = await open({ choice: "multiple" });
      const voters = await Promise.all(
        [["1"], ["1", "2"], ["3"], ["2"]].map((one) => voted(poll, one)),
      );
      await voters[2]?.[0].post(`/polls/${poll}/votes`, { option: ["2", "3"] });
      await voters[3]?.[0].delete(`/polls/${poll}/votes`);
      const answer = await service.client().get(`/polls/${poll}/ballots`);
      assertEquals(answer.headers.get("content-type"), "application/x-ndjson");
      const lines = answer.text.trim().split("\n").map((line) => JSON.parse(line));
      const counted: Record<string, number> = { 1: 0, 2: 0, 3: 0 };
      for (const id of lines.flatMap(({ options }) => options)) {
        counted[id] = (counted[id] ?? 0) + 1;
      }
      const results = await service.client().get(`/polls/${poll}/results`);
      assertEquals([counted, lines.length], [countsOf(results), Number(results.get("voters"))]);
      for (const line of lines) {
        assertEquals(Object.keys(line).sort(), ["at", "options", "position", "seal"]);
      }
    });

    it("list each voter once, however votes change while the list is sent", async () => {
      const poll = await open();
      const voters = await Promise.all(Array.from({ length: 20 }, () => voted(poll, "1")));
      let moving = true;
      const move = async ([client]: [ApiClient, ApiResponse], i: number) => {
        for (let n = i; moving; n++) {
          await client.post(`/polls/${poll}/votes`, { option: String(n % 3 + 1) });
        }
      };
      const moved = Promise.all(voters.map(move));
      for (let i = 0; i < 20; i++) {
        const { text } = await service.client().get(`/polls/${poll}/ballots`);
        assertEquals(text.trim().split("\n").length, 20);
      }
      moving = false;
      await moved;
    });
  });

  describe("as of a position", () => {
    it("equal a replay up to that position, and may be cached for ever", async () => {
      const poll = await open();
      const steps: { position: number; results: ApiResponse }[] = [];
      const note = async () => {
        const results = await service.client().get(`/polls/${poll}/results`);
        const head = await service.client().get("/health");
        steps.push({ position: Number(head.get("position")), results });
      };
      await note();
      const [client] = await voted(poll, "1");
      await note();
      await client.post(`/polls/${poll}/votes`, { option: "2" });
      await voted(poll, "2");
      await note();
      await service.admin().put(`/polls/${poll}`, { options: ["Yes", "No", "Maybe", "New"] });
      await voted(poll, "New");
      await note();
      await client.delete(`/polls/${poll}/votes`);
      await service.admin().post(`/polls/${poll}/close`);
      await note();
      for (const { position, results } of steps) {
        const then = await service.client().get(`/polls/${poll}/results?asOf=${position}`);
        assertEquals(then.get(), results.get(), `as of ${position}`);
        assert(then.headers.get("cache-control")?.includes("immutable"));
      }
    });

    it("are refused before the poll exists, beyond the head and at an invalid position", async () => {
      const poll = await open();
      const ask = (asOf: string) => service.client().get(`/polls/${poll}/results?asOf=${asOf}`);
      assertEquals((await ask("1")).status, 404);
      assertEquals((await ask("0")).status, 404);
      for (const beyond of ["99999999", "-1", "1.5", "x", "", "1e3", "99999999999999999999"]) {
        const answer = await ask(beyond);
        assertEquals([answer.status, fieldsOf(answer)], [422, ["asOf"]], beyond);
      }
    });
  });

  describe("results", () => {
    const places = ["/results", "/results.csv", "/ballots", "/results?asOf=HEAD"];

    async function shownAt(poll: number, client: ApiClient): Promise<boolean[]> {
      const position = (await client.get("/health")).get("position");
      const statuses = await Promise.all(places.map(async (place) => {
        const path = `/polls/${poll}${place.replace("HEAD", String(position))}`;
        return (await client.get(path)).status;
      }));
      assert(statuses.every((status) => status === 200 || status === 403), String(statuses));
      const poll_ = await client.get(`/polls/${poll}`);
      const live = await firstMessage(`${service.url}/polls/${poll}/live`);
      return [
        ...statuses.map((status) => status === 200),
        poll_.get("votes") !== undefined,
        poll_.get("options.0.votes") !== undefined,
        /"votes":/.test(live),
      ];
    }

    const all = (shown: boolean) => Array(places.length + 3).fill(shown);

    it("are shown to everybody with results=always", async () => {
      const poll = await open({ results: "always" });
      assertEquals(await shownAt(poll, service.client()), all(true));
    });

    it("are shown after voting with results=after_vote, at the voter's own address only", async () => {
      const poll = await open({ results: "after_vote" });
      const [client, answer] = await voted(poll, "1");
      assertEquals(await shownAt(poll, client), all(false));
      const mine = await client.get(`/polls/${poll}/mine`);
      assertEquals(mine.get("results.voters"), 1);
      assert(mine.headers.get("cache-control")?.includes("no-store"));
      const stranger = await service.client().get(`/polls/${poll}/mine`);
      assertEquals(stranger.get(), { options: [], receipt: null, position: null, results: null });
      const receipt = await service.client().get(`/receipts/${answer.get("receipt")}`);
      assert(!receipt.text.includes("options"));
      await service.admin().post(`/polls/${poll}/close`);
      assertEquals(await shownAt(poll, service.client()), all(true));
    });

    it("are shown to nobody before the poll is closed with results=after_close", async () => {
      const poll = await open({ results: "after_close" });
      const [client] = await voted(poll, "1");
      assertEquals(await shownAt(poll, client), all(false));
      assertEquals((await client.get(`/polls/${poll}/mine`)).get("results"), null);
      await service.admin().post(`/polls/${poll}/close`);
      assertEquals(await shownAt(poll, service.client()), all(true));
      await service.admin().post(`/polls/${poll}/reopen`);
      assertEquals(await shownAt(poll, service.client()), all(false));
    });

    it("of the default poll follow the same rule", async () => {
      await service.admin().put("/polls/1", { results: "after_close" });
      assertEquals((await service.client().get("/results")).status, 403);
      await service.admin().put("/polls/1", { results: "always" });
      assertEquals((await service.client().get("/results")).status, 200);
    });
  });

  it("are the same text after a replay", async () => {
    const paths = ["/polls?limit=100", "/results"];
    const read = () =>
      Promise.all(paths.map(async (path) => (await service.client().get(path)).text));
    const before = await read();
    await replay(service.services.sql, projection);
    await service.services.cache.backend.clear();
    const digest = (texts: string[]) => createHash("sha256").update(texts.join()).digest("hex");
    assertEquals(digest(await read()), digest(before));
  });
});

async function firstMessage(url: string): Promise<string> {
  const stop = new AbortController();
  const response = await fetch(url, { signal: stop.signal });
  let text = "";
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes("\n\n") && text.includes("data:")) break;
  }
  stop.abort();
  return text;
}
