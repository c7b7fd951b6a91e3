// Events that fit no schema, appended with the database's password. Nothing crashes or hangs; an event
// that a projection cannot apply stops that projection alone; writes go on and are visible; verify reports
// correctly.
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { projections } from "$projections/mod.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { projectionStates } from "$src/projector/projector.ts";
import { checkReplay, replay } from "$src/projector/replay.ts";
import { readHead } from "$src/store/read.ts";
import { canonicalOfStored, sealOf } from "$src/store/hash_chain.ts";
import { verifyLog } from "$src/store/verify.ts";
import { LONG, seed } from "../faults/long.ts";
import { random } from "../faults/random.ts";
import type { ApiClient } from "../support/api.ts";
import { openService } from "../support/service.ts";
import { trial } from "../support/trial.ts";
import { waitFor } from "../support/until.ts";
import { type Foreign, foreign } from "./foreign.ts";

const LOGS = LONG ? 20 : 3;
const EVENTS = LONG ? 100 : 40;

const PATHS = [
  "/",
  "/entries",
  "/entries/1",
  "/users",
  "/users/1",
  "/items",
  "/items/1",
  "/polls",
  "/polls/1",
  "/polls/1/results",
  "/polls/1/results?asOf=AT",
  "/polls/1/ballots",
  "/polls/1/mine",
  "/entries/1?asOf=AT",
  "/users/1?asOf=AT",
  "/receipts/AT-00000000000000000000000000000000",
  "/visits",
  "/results",
  "/feed.atom",
  "/health",
  "/metrics",
  "/events",
  "/events?after=AT",
  "/users/1/history",
  "/admin",
  "/admin/log",
  "/admin/log/AT",
  "/admin/polls",
  "/admin/polls/1",
  "/admin/entries",
  "/admin/projections",
  "/admin/health",
];

/** Inserts into the log with a seal that fits, or one that does not, and advances the counter. */
async function append(owner: Sql, event: Foreign, sealed: boolean): Promise<number | undefined> {
  const { stream, version, type, data, meta } = event;
  const [whole] = await owner<{ data: string; meta: string }[]>`
    select ${JSON.stringify(data)}::text::jsonb::text as data,
      ${JSON.stringify(meta)}::text::jsonb::text as meta`;
  if (!whole) throw new Error("no answer");
  return await owner.begin(async (tx) => {
    const [head] = await tx<{ position: number; seal: string; at: Date }[]>`
      select position, seal, at from counter for update`;
    const [last] = await tx<{ next: string }[]>`
      select (coalesce(max(version), 0) + 1)::text as next from events where stream = ${stream}`;
    if (!head || !last) throw new Error("no counter");
    const position = head.position + 1;
    const asked = version ?? last.next;
    const place = { position, stream, version: Number(asked), type, at: head.at };
    const texts = [canonicalOfStored(whole.data), canonicalOfStored(whole.meta)] as const;
    const seal = sealed && texts[0] !== undefined && texts[1] !== undefined
      ? sealOf(head.seal, place, texts[0], texts[1])
      : "f".repeat(64);
    await tx`
      insert into events (position, stream, version, type, data, meta, at, seal)
      values (${position}, ${stream}, ${asked}::text::bigint, ${type},
        ${whole.data}::text::jsonb, ${whole.meta}::text::jsonb, ${head.at}, ${seal})`;
    await tx`update counter set position = ${position}, seal = ${seal}`;
    return position;
  }).catch((error: { code?: string }) => {
    // A duplicate, or a number too large for its column: refused by the database itself.
    if (/^2(2003|3505)$/.test(error.code ?? "")) return undefined;
    throw error;
  });
}

/** Deeper than any event: its seal cannot be computed. */
function isDeep(data: unknown): boolean {
  return JSON.stringify(data).includes("[".repeat(1000));
}

async function look(client: ApiClient, at: number, why: string): Promise<void> {
  for (const path of PATHS) {
    for (const accept of ["application/json", "text/html"]) {
      const answer = await client.get(path.replace("AT", String(at)), { accept });
      assert(answer.status < 500, `${path} (${accept}): ${answer.status} after ${why}`);
    }
  }
}

async function write(client: ApiClient, n: number, why: string): Promise<void> {
  const calls: [string, unknown][] = [
    ["/sign", { name: `Ada ${n}`, message: "goes on" }],
    ["/users", { name: "Ada", email: `ada${n}@example.org` }],
    ["/items", { name: `item ${n}` }],
  ];
  for (const [path, body] of calls) {
    const answer = await client.post(path, body);
    assertEquals(answer.status, 201, `${path}: ${answer.text} after ${why}`);
    assertEquals(answer.headers.get("tallybook-visible"), null, `${path} not seen after ${why}`);
  }
  const vote = await client.post("/polls/1/votes", { option: "option_a" });
  // The poll's own stream may have become one that no vote can rely on; then votes are refused with a
  // message.
  assert(vote.status < 500 || vote.status === 503, `a vote: ${vote.text} after ${why}`);
}

/** Each projection is at the head, or says why it stopped before an event of its own. */
async function settled(sql: Sql): Promise<string[]> {
  return await waitFor(
    async () => {
      const { position: head } = await readHead(sql);
      const states = await projectionStates(sql);
      const behind = states.filter(({ position }) => position < head);
      if (behind.some(({ error }) => error === null)) return false;
      for (const { name, position } of behind) {
        const types = Object.keys(projections.find((one) => one.name === name)?.handlers ?? {});
        const own = await sql`
        select from events where position > ${position} and type = any(${types}::text[]) limit 1`;
        assertEquals(own.length, 1, `${name} stopped before no event of its own`);
      }
      return behind.map(({ name }) => name);
    },
    20_000,
    "projections to be at the head or stopped with a reason",
  );
}

async function rebuild(sql: Sql): Promise<string[]> {
  const outcomes: string[] = [];
  for (const projection of projections) {
    for (const work of [checkReplay, replay]) {
      const outcome = await work(sql, projection).then(() => "done", (error) => {
        assert(error instanceof Error && error.message !== "", String(error));
        return "refused";
      });
      outcomes.push(outcome);
    }
  }
  return outcomes;
}

describe(`events that the service did not write (TEST_SEED=${seed})`, () => {
  for (let log = 0; log < LOGS; log++) {
    it(
      `crash nothing and stop only their own projection, log ${log + 1} of ${LOGS}`,
      trial(`foreign events, log ${log + 1}`, seed + log, async (figure) => {
        await using service = await openService();
        const { owner } = service.place;
        const next = random(seed + log);
        const admin = service.admin();
        const visitor = () => service.client();
        for (let n = 0; n < 3; n++) await write(visitor(), n, "nothing");
        // One log without a wrong seal, where every refusal is for an event's data.
        const wrongSeals = log === 0 ? 0 : 0.05;
        let badSeal: number | undefined;
        let taken = 0;
        for (let n = 0; n < EVENTS; n++) {
          const event = foreign(next);
          const sealed = next() >= wrongSeals;
          const why = `${JSON.stringify(event).slice(0, 300)} (log ${log}, event ${n})`;
          const position = await append(owner, event, sealed);
          if (position === undefined) continue;
          taken++;
          if (!sealed || isDeep(event.data)) badSeal ??= position;
          await write(visitor(), 100 + n, why);
          if (n % 8 === 0) await look(admin, position, why);
        }
        const stopped = await settled(service.services.sql);
        await look(admin, (await readHead(owner)).position, "all of it");
        const verdict = await verifyLog(owner);
        const named = verdict.ok ? undefined : verdict.position;
        assertEquals(named, badSeal, verdict.ok ? "whole" : verdict.problem);
        const outcomes = await rebuild(service.services.sql);
        await write(visitor(), 9000, "the replay");
        await using second = await service.place.open();
        assertEquals((await second.client().get("/health")).status, 200, "another replica starts");
        await write(second.client(), 9001, "a start");
        figure(
          `${taken} foreign events taken; stopped: ` +
            `${stopped.join(", ") || "none"}; replays: ${
              outcomes.filter((one) => one === "done").length
            } of ${outcomes.length} done; verify: ${verdict.ok ? "whole" : verdict.problem}`,
        );
      }),
    );
  }

  it("inserted past the counter make writes a 503 with the reason, and verify names them", async () => {
    await using service = await openService();
    const { owner } = service.place;
    const { position } = await readHead(owner);
    await owner`
      insert into events (position, stream, version, type, data, meta, at, seal)
      values (${position + 1}, 'item-900', 1, 'ItemCreated', '{}', '{}', now(), 'x')`;
    const answer = await service.client().post("/items", { name: "held up" });
    assertEquals(answer.status, 503, answer.text);
    assert(answer.text.includes("verify"), answer.text);
    assertEquals((await service.client().get("/items")).status, 200);
    const verdict = await verifyLog(owner);
    assertEquals(verdict.ok ? 0 : verdict.position, position + 1);
  });
});
