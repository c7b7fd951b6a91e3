import { assert, assertEquals } from "@std/assert";
import { createHmac } from "node:crypto";
import { describe, it } from "@std/testing/bdd";
import { projections } from "$projections/mod.ts";
import { replay } from "$src/projector/replay.ts";
import { openPlace } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

const SECRET = "the-secret-of-the-webhook";

type Delivery = { position: number; type: string; signed: boolean; data: Record<string, unknown> };

/** A receiver that stores what it is sent, and can be told to refuse. */
function receiver() {
  const got: Delivery[] = [];
  let refusing = false;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const body = await request.text();
    if (refusing) return new Response(null, { status: 503 });
    const expected = createHmac("sha256", SECRET).update(body).digest("hex");
    const signed = request.headers.get("tallybook-signature") === `sha256=${expected}`;
    got.push({ ...JSON.parse(body), signed });
    return new Response();
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}/hook`,
    got,
    refuse: (now: boolean) => refusing = now,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

describe("the webhook", () => {
  it("receives each entry, vote and user, signed and in order, and nothing from a replay", async () => {
    await using place = await openPlace();
    await using hook = receiver();
    const settings = { WEBHOOK_URL: hook.url, WEBHOOK_SECRET: SECRET };
    await using service = await place.open(settings);
    await waitFor(async () =>
      (await place.owner`select from checkpoints where name = 'webhook'`).length > 0
    );
    const voter = service.client();
    await voter.post("/sign", { name: "Ada", message: "Hi" });
    await voter.post("/polls/1/votes", { option: "option_a" });
    await voter.post("/polls/1/votes", { option: "option_b" });
    await service.client().post("/items", { name: "not told" });
    await service.client().post("/users", { name: "Ada", email: "ada@example.com" });
    await waitFor(() => hook.got.length >= 4);
    const types = ["EntrySigned", "VoteCast", "VoteChanged", "UserRegistered"];
    assertEquals(hook.got.map(({ type }) => type), types);
    assert(hook.got.every(({ signed }) => signed));
    assertEquals(hook.got[0]?.data.message, "Hi");

    for (const projection of projections) await replay(service.services.sql, projection);
    await voter.post("/sign", { name: "Ada", message: "after the replay" });
    await waitFor(() => hook.got.some(({ data }) => data.message === "after the replay"));
    assertEquals(hook.got.length, 5);

    hook.refuse(true);
    for (let i = 0; i < 5; i++) await voter.post("/sign", { name: "Ada", message: `${i}` });
    await service.services.leader[Symbol.asyncDispose]();
    hook.refuse(false);
    await using next = await place.open(settings);
    await next.client().post("/sign", { name: "Ada", message: "5" });
    await waitFor(() => hook.got.some(({ data }) => data.message === "5"));
    const positions = hook.got.map(({ position }) => position);
    assertEquals(positions, positions.toSorted((a, b) => a - b));
    const told = new Set(hook.got.slice(5).map(({ data }) => data.message));
    assertEquals([...told], ["0", "1", "2", "3", "4", "5"]);
  });

  it("resumes after an error of the database", async () => {
    await using place = await openPlace();
    await using hook = receiver();
    await using service = await place.open({ WEBHOOK_URL: hook.url, WEBHOOK_SECRET: SECRET });
    await waitFor(async () =>
      (await place.owner`select from checkpoints where name = 'webhook'`).length > 0
    );
    await place.owner`alter table checkpoints rename column position to away`;
    await service.client().post("/sign", { name: "Ada", message: "first" });
    await waitFor(() => hook.got.length >= 1);
    await place.owner`alter table checkpoints rename column away to position`;
    await service.client().post("/sign", { name: "Ada", message: "second" });
    await waitFor(() => hook.got.some(({ data }) => data.message === "second"));
  });
});
