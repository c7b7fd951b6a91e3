// Poison events and replays during appends.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { rounds } from "../support/rounds.ts";
import { trial } from "../support/trial.ts";
import type { NewEvent } from "$events/mod.ts";
import { projections } from "$projections/mod.ts";
import { polls } from "$projections/polls.ts";
import { items } from "$projections/items.ts";
import { ProjectionSupervisor } from "$src/projector/supervisor.ts";
import { projectionStates } from "$src/projector/projector.ts";
import { checkReplay, replay, withReplayLock } from "$src/projector/replay.ts";
import { readEvents, readHead } from "$src/store/read.ts";
import { waitFor } from "../support/until.ts";
import { openPlace, openService, type Service } from "../support/service.ts";
import { openLog, type ProjectedLog, readTables } from "../projections/log.ts";

const EVENTS = rounds(10_000, 50_000);
const meta = { actor: "system" } as const;

async function append(log: ProjectedLog, stream: string, ...events: NewEvent[]): Promise<void> {
  await log.appender.append({ streams: [{ stream, expected: "any", events }], meta });
}

function item(id: number, name = `item ${id}`): NewEvent {
  return { type: "ItemCreated", data: { id, name, description: "" } };
}

async function opened(log: ProjectedLog, id: number): Promise<void> {
  const options = [{ id: "a", text: "A" }, { id: "b", text: "B" }];
  const facts = { question: "?", choice: "single" as const, results: "always" as const };
  const data = { id, options, ...facts, closes_at: null };
  await append(log, `poll-${id}`, { type: "PollOpened", data });
}

/** Votes and items, many to a transaction. */
async function fill(log: ProjectedLog, count: number, from = 1): Promise<void> {
  for (let start = from; start < from + count; start += 1000) {
    const size = Math.min(1000, from + count - start);
    await Promise.all(Array.from({ length: size }, (_, i) => {
      const n = start + i;
      if (n % 10 === 0) return append(log, `item-${n}`, item(n));
      const data = { poll: 1, voter: `v${n}`, options: [n % 2 ? "a" : "b"] };
      return append(log, `ballot-1-v${n}`, { type: "VoteCast", data });
    }));
  }
}

describe("a poison event", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  type State = { name: string; position: number; lag: number; error: string | null };
  const health = async () => {
    const answer = await service.client().get("/health");
    const states = answer.get("projections") as State[];
    return { status: answer.get("status"), states };
  };
  const stateOf = async (name: string) => (await health()).states.find((one) => one.name === name);

  it("stops only its own projection, shows on /health, and is applied once the projection is fixed", async () => {
    const { owner } = service.place;
    const client = service.client();
    await client.post("/items", { name: "before" });
    await owner`alter table read.items add constraint healthy check (name <> 'poison')`;
    const poison = await client.post("/items", { name: "poison" });
    assertEquals(poison.status, 201, "the log takes it all the same");
    await client.post("/items", { name: "after" });
    await client.post("/sign", { name: "Ada", message: "goes on" });
    const vote = await client.post("/polls/1/votes", { option: "option_a" });
    assertEquals(vote.status, 201);
    const { status, states } = await health();
    assertEquals(status, "degraded");
    for (const { name, lag, error } of states) {
      assertEquals([lag > 0, error !== null], Array(2).fill(name === "items"), name);
    }
    const stopped = await waitFor(async () => {
      const state = await stateOf("items");
      return state?.position === Number(poison.headers.get("tallybook-position")) - 1 && state;
    });
    assert(stopped.error?.includes("healthy"));
    const list = async () =>
      ((await client.get("/items")).get() as { name: string }[]).map(({ name }) => name);
    assertEquals(await list(), ["before"]);
    assertEquals((await client.get("/polls/1/results")).get("voters"), 1);

    await owner`alter table read.items drop constraint healthy`;
    await waitFor(async () => (await health()).status === "healthy");
    // No event touched these tags when the rows came; no older value may be served for them.
    await waitFor(async () => (await list()).length === 3);
    assertEquals(await list(), ["before", "poison", "after"]);
    for (const one of projections) assertEquals(await checkReplay(service.services.sql, one), []);
  });

  it("is stored in the log, whichever projection it stops: also the first that is applied", async () => {
    const { owner } = service.place;
    const client = service.client();
    await owner`alter table read.entries add constraint healthy check (name <> 'poison')`;
    const poison = await client.post("/sign", { name: "poison", message: "taken in" });
    assertEquals(poison.status, 201);
    const { position } = await readHead(service.services.sql);
    assertEquals(position, Number(poison.headers.get("tallybook-position")));
    const [event] = await readEvents(service.services.sql, { after: position - 1 });
    assertEquals(event?.type, "EntrySigned");
    assert(((await stateOf("guestbook"))?.error ?? "").includes("healthy"));
    await owner`alter table read.entries drop constraint healthy`;
    await waitFor(async () => (await health()).status === "healthy");
    for (const one of projections) assertEquals(await checkReplay(service.services.sql, one), []);
  });
});

describe("replay()", () => {
  let log: ProjectedLog;
  before(async () => {
    log = await openLog();
    await opened(log, 1);
    await fill(log, EVENTS);
  });
  after(async () => await log[Symbol.asyncDispose]());

  let voters = 1_000_000;
  /** Votes until stopped; returns how many were accepted. */
  function pourIn(): { stop: () => Promise<number> } {
    let going = true;
    let taken = 0;
    const work = (async () => {
      for (; going; taken++) {
        const voter = `w${voters++}`;
        const data = { poll: 1, voter, options: ["a"] };
        await append(log, `ballot-1-${voter}`, { type: "VoteCast", data });
      }
    })();
    return {
      async stop() {
        going = false;
        await work;
        return taken;
      },
    };
  }

  const votes = async () => {
    const [row] = await log.sql<{ voters: number }[]>`select voters from read.polls where id = 1`;
    return row?.voters ?? 0;
  };

  it(
    `rebuilds ${EVENTS} events while votes arrive, and misses none`,
    trial("rebuild under votes", undefined, async (figure) => {
      const before = await votes();
      const pouring = pourIn();
      for (const projection of projections) await replay(log.sql, projection);
      const taken = await pouring.stop();
      assert(taken > 0);
      assertEquals(await votes(), before + taken);
      const states = await projectionStates(log.sql);
      assertEquals(new Set(states.map(({ position }) => position)).size, 1);
      for (const projection of projections) {
        assertEquals(await checkReplay(log.sql, projection), []);
      }
      figure(`${EVENTS} events, ${taken} votes meanwhile`);
    }),
  );

  it("reproduces the tables row by row", async () => {
    const before = await readTables(log.sql);
    for (const projection of projections) await replay(log.sql, projection);
    assertEquals(await readTables(log.sql), before);
  });

  it("is refused while another one is running, which continues", async () => {
    const error: Error = await withReplayLock(
      log.sql,
      () => assertRejects(() => withReplayLock(log.sql, () => replay(log.sql, polls)), Error),
    );
    assert(error.message.includes("another replay is under way"));
    assertEquals(await withReplayLock(log.sql, () => Promise.resolve("free again")), "free again");
  });

  it("resumes where it was interrupted, while the old tables serve reads", async () => {
    const before = await votes();
    const stop = new AbortController();
    const positions: number[] = [];
    const onProgress = (done: number) => {
      positions.push(done);
      if (done > EVENTS / 2) stop.abort(new Error("interrupted"));
    };
    const begun = replay(log.sql, polls, { page: 100, signal: stop.signal, onProgress });
    await assertRejects(() => begun, Error, "interrupted");
    assertEquals(await votes(), before);
    const pouring = pourIn();
    const resumed: number[] = [];
    await replay(log.sql, polls, { page: 100, onProgress: (done) => resumed.push(done) });
    const taken = await pouring.stop();
    assert((resumed[0] ?? 0) > (positions.at(-1) ?? 0), "it did not begin again");
    assertEquals(await votes(), before + taken);
    assertEquals(await checkReplay(log.sql, polls), []);
  });

  it("waits for a lock held by others, and counts nothing twice because of it", async () => {
    const before = await votes();
    const holder = await log.sql.reserve();
    await holder`begin`;
    await holder`select from read.polls limit 1`;
    const replaying = replay(log.sql, polls, { page: 1000 });
    // Each time it meets the lock, it releases the counter, and more votes arrive.
    await fill(log, 900, 100_001);
    await waitFor(async () => {
      const rows = await log.sql`select from pg_stat_activity where wait_event_type = 'Lock'`;
      return rows.length > 0;
    });
    await fill(log, 900, 200_001);
    await new Promise((done) => setTimeout(done, 600));
    await holder`commit`;
    holder.release();
    await replaying;
    const added = 2 * 900 * 9 / 10;
    assertEquals(await votes(), before + added);
    assertEquals(await checkReplay(log.sql, polls), []);
  });

  it("lists the rows that differ on either side, with --check", async () => {
    await log.sql`update read.items set name = 'tampered' where id = 10`;
    await log.sql`delete from read.items where id = 20`;
    await log.sql`insert into read.items select 999999, name, description, created_at, version
      from read.items where id = 30`;
    const found = await checkReplay(log.sql, items);
    const shown = found.map(({ only, row }) => `${only} ${JSON.parse(row).id}`).sort();
    assertEquals(shown, ["live 10", "live 999999", "replayed 10", "replayed 20"]);
    await replay(log.sql, items);
    assertEquals(await checkReplay(log.sql, items), []);
  });

  it("repairs a projection that a poison event had stopped", async () => {
    await log.sql`alter table read.items add constraint healthy check (name <> 'poison')`;
    await append(log, "item-777777", item(777777, "poison"));
    const stopped = async () =>
      (await projectionStates(log.sql)).find(({ name }) => name === "items")?.error ?? null;
    assert(await stopped() !== null);
    await new ProjectionSupervisor(log.sql, projections).retryStopped();
    assert(await stopped() !== null, "still poison");
    await replay(log.sql, items);
    assertEquals(await stopped(), null);
    assertEquals(await checkReplay(log.sql, items), []);
  });
});

describe("the replay of the admin desk", () => {
  it("rebuilds while the service answers, and refuses a second one", async () => {
    await using place = await openPlace();
    await using service = await place.open();
    await service.client().post("/items", { name: "kept" });
    const admin = service.admin();
    assertEquals((await service.client().post("/admin/replay", {})).status, 401);
    await withReplayLock(place.owner, async () => {
      assertEquals((await admin.post("/admin/replay", { projection: "items" })).status, 409);
    });
    assertEquals((await admin.post("/admin/replay", { projection: "items" })).status, 200);
    assertEquals((await admin.post("/admin/replay", { projection: "nothing" })).status, 404);
    await waitFor(() => service.services.projectionSupervisor.replaying === undefined);
    assertEquals((await service.client().get("/items")).get("0.name"), "kept");
  });
});
