// Concurrent requests: each 2xx has its effect once, each refusal has none.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { checkReplay } from "$src/projector/replay.ts";
import { polls as projection } from "$projections/polls.ts";
import { idOf } from "../support/api.ts";
import { rounds } from "../support/rounds.ts";
import { openService, type Replica, type Service } from "../support/service.ts";
import { trial } from "../support/trial.ts";

const VOTERS = 50;
const CHANGES = rounds(12, 100);

describe("concurrent requests", () => {
  let service: Service;
  let other: Replica;
  before(async () => {
    service = await openService();
    other = await service.place.open();
  });
  after(async () => {
    await other[Symbol.asyncDispose]();
    await service[Symbol.asyncDispose]();
  });

  it("200 registrations of one e-mail address in two replicas: one succeeds", async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => {
      const email = i % 3 ? "race@example.com" : "RACE@example.com";
      return (i % 2 ? service : other).client().post("/users", { name: `racer ${i}`, email });
    }));
    const statuses = Map.groupBy(answers, ({ status }) => status);
    assertEquals([statuses.get(201)?.length, statuses.get(409)?.length], [1, 199]);
    assertEquals(statuses.get(409)?.[0]?.get("errors.0.field"), "email");
    const { text } = await service.client().get("/users?limit=100");
    assertEquals(text.match(/race@example\.com/gi)?.length, 1);
  });

  it("an address repeatedly released and claimed has one holder at most", async () => {
    const ids = await Promise.all(
      Array.from(
        { length: 8 },
        async (_, i) =>
          idOf(await service.client().post("/users", { name: "x", email: `own${i}@example.com` })),
      ),
    );
    await Promise.all(ids.map(async (id, i) => {
      for (let round = 0; round < 10; round++) {
        const client = (round % 2 ? service : other).client();
        const email = round % 2 ? `own${i}@example.com` : "shared@example.com";
        const { status } = await client.put(`/users/${id}`, { email });
        assert(status === 200 || status === 409, String(status));
      }
    }));
    const { text } = await service.client().get("/users?limit=100");
    assert((text.match(/shared@example\.com/g)?.length ?? 0) <= 1);
  });

  it(
    `${VOTERS} voters change their vote ${CHANGES} times each while the poll closes and reopens`,
    trial("races of voters", undefined, async (figure) => {
      const options = ["a", "b", "c"];
      const poll = idOf(await service.admin().post("/polls", { question: "?", options }));
      const counted = new Map<number, string>();
      const refused = { closed: 0 };
      let voting = true;
      const opening = (async () => {
        const admin = service.admin();
        for (; voting;) {
          assertEquals((await admin.post(`/polls/${poll}/close`)).status, 200);
          assertEquals((await admin.post(`/polls/${poll}/reopen`)).status, 200);
          await new Promise((done) => setTimeout(done, 30));
        }
      })();
      await Promise.all(Array.from({ length: VOTERS }, async (_, voter) => {
        const clients = [service.client(), other.client()] as const;
        const cookies = clients[0].cookies;
        for (let change = 0; change < CHANGES; change++) {
          const client = clients[change % 2] ?? clients[0];
          for (const [name, value] of cookies) client.cookies.set(name, value);
          const option = options[Math.floor(Math.random() * 3)] ?? "a";
          const withdraws = counted.has(voter) && Math.random() < 0.15;
          const answer = withdraws
            ? await client.delete(`/polls/${poll}/votes`)
            : await client.post(`/polls/${poll}/votes`, { option });
          for (const [name, value] of client.cookies) cookies.set(name, value);
          if (answer.status === 409) refused.closed++;
          else if (withdraws && answer.status === 200) counted.delete(voter);
          else if (answer.status < 300) counted.set(voter, option);
          else throw new Error(`${answer.status} ${answer.text}`);
        }
      }));
      voting = false;
      await opening;
      const results = await service.client().get(`/polls/${poll}/results`);
      const expected = options.map((text, i) => ({
        id: String(i + 1),
        text,
        votes: [...counted.values()].filter((option) => option === text).length,
      }));
      assertEquals(results.get("options"), expected);
      assertEquals(results.get("voters"), counted.size);
      assert(refused.closed > 0, "some votes met a closed poll");
      assertEquals(await checkReplay(service.services.sql, projection), []);
      const [uncounted] = await service.place.owner<{ n: number }[]>`
      select count(*) as n from events v where v.type in ('VoteCast', 'VoteChanged', 'VoteWithdrawn')
        and (v.data->>'poll')::int = ${poll} and (
          select p.type from events p where p.stream = ${`poll-${poll}`} and p.position < v.position
          order by p.position desc limit 1) = 'PollClosed'`;
      assertEquals(uncounted?.n, 0);
      figure(`${VOTERS} voters, ${CHANGES} changes each, ${refused.closed} met a closed poll`);
    }),
  );
});
