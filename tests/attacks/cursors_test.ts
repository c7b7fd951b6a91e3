// Random Idempotency-Keys, cursors and ETags: each is accepted for what it is or refused with a message;
// none causes a 5xx, reveals another caller's answer, or is answered in two ways.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { LONG, seed } from "../faults/long.ts";
import { random } from "../faults/random.ts";
import { openService, type Service } from "../support/service.ts";
import { trial } from "../support/trial.ts";

const ROUNDS = LONG ? 5000 : 400;

const CURSORS = [
  ["/entries", "before", 2_147_483_647],
  ["/entries", "limit", 100],
  ["/users", "after", 2_147_483_647],
  ["/users", "limit", 100],
  ["/items", "after", 2_147_483_647],
  ["/polls", "before", 2_147_483_647],
  ["/polls/1/results", "asOf", Number.MAX_SAFE_INTEGER],
  ["/events", "after", Number.MAX_SAFE_INTEGER],
  ["/events", "limit", 1000],
  ["/admin/log", "before", Number.MAX_SAFE_INTEGER],
] as const;

const PIECES = ["0", "1", "7", "2147483647", "2147483648", "9007199254740991", "9007199254740993"]
  .concat(["-", "+", ".", "e", " ", "x", "٣", "%00", "%", "\n", "null", "NaN", "'", "[]", "\ud83d"])
  .concat(["1".repeat(400), "0x", "_", ",", "\u202e", "é", "\\", '"', "\u0000", "\t"]);

/** Mostly a number, or nearly one. */
function made(next: () => number): string {
  const length = 1 + Math.floor(next() ** 3 * 5);
  return Array.from({ length }, () => PIECES[Math.floor(next() * PIECES.length)]).join("");
}

/** The only notation of a whole number, and its bounds. */
function isGood(text: string, name: string, max: number): boolean {
  const least = name === "limit" ? 1 : 0;
  return /^(0|[1-9]\d*)$/.test(text) && Number(text) <= max && Number(text) >= least;
}

describe(`values that a client hands back (TEST_SEED=${seed})`, () => {
  let service: Service;
  before(async () => {
    service = await openService();
    for (const name of ["Ada", "Bob"]) {
      await service.client().post("/sign", { name, message: "hello" });
    }
  });
  after(() => service[Symbol.asyncDispose]());

  it(
    "cursors are whole numbers within their bounds, or refused by name",
    trial("cursors", seed, async (figure) => {
      const next = random(seed);
      const statuses = new Map<number, number>();
      for (let round = 0; round < ROUNDS; round++) {
        const [path, name, max] = CURSORS[Math.floor(next() * CURSORS.length)] ?? CURSORS[0];
        const text = made(next);
        const query = new URLSearchParams([[name, text]]);
        const answer = await service.admin().get(`${path}?${query}`);
        const what = `${path} ${name}=${JSON.stringify(text)}: ${answer.status} ${answer.text}`;
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        if (!isGood(text, name, max)) {
          assertEquals(answer.status, 422, what.slice(0, 500));
          assert(answer.text.includes(name), what.slice(0, 500));
        } else {
          // A position beyond the head is refused.
          const wanted = name === "asOf" ? [200, 404, 422] : [200];
          assert(wanted.includes(answer.status), what.slice(0, 500));
        }
      }
      figure(`${ROUNDS}: ${[...statuses].map(([status, n]) => `${status}: ${n}`).join(", ")}`);
    }),
  );

  it(
    "Idempotency-Keys are visible ASCII, and each identifies one request of one caller",
    trial("Idempotency-Keys", seed, async (figure) => {
      const next = random(seed + 1);
      const known = new Map<string, { body: string; text: string }>();
      const counts = { first: 0, again: 0, other: 0, refused: 0 };
      const client = service.client();
      await client.post("/sign", { name: "first", message: "for a cookie" });
      for (let round = 0; round < ROUNDS / 2; round++) {
        // A header carries bytes only, and its ends are trimmed in transit.
        const key = made(next).replace(/[^\x20-\x7e\xa0-\xff]/g, "").trim();
        if (key === "") continue;
        const body = JSON.stringify({ name: "item", description: String(Math.floor(next() * 3)) });
        const answer = await client.ask("/items", {
          method: "POST",
          headers: { "idempotency-key": key, "content-type": "application/json" },
          body,
        });
        const before = known.get(key);
        const what = `${JSON.stringify(key.slice(0, 80))}: ${answer.status} ${answer.text}`;
        if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
          assertEquals(answer.status, 400, what);
          counts.refused++;
        } else if (before === undefined) {
          assertEquals(answer.status, 201, what);
          known.set(key, { body, text: answer.text });
          counts.first++;
        } else if (before.body === body) {
          assertEquals([answer.status, answer.text], [201, before.text], what);
          counts.again++;
        } else {
          assertEquals(answer.status, 422, what);
          counts.other++;
        }
      }
      assert(Object.values(counts).every((count) => count > 0), JSON.stringify(counts));
      figure(JSON.stringify(counts));
    }),
  );

  it("Last-Event-IDs and ETags of any kind begin a stream, or are refused", async () => {
    const next = random(seed + 2);
    for (let round = 0; round < ROUNDS / 10; round++) {
      const text = made(next).replace(/[^\x20-\x7e]/g, "").trim();
      for (const path of ["/entries/live", "/polls/1/live"]) {
        const over = new AbortController();
        const answer = await fetch(service.url + path, {
          headers: { "last-event-id": text },
          signal: over.signal,
        });
        assert([200, 400, 422].includes(answer.status), `${text.slice(0, 80)}: ${answer.status}`);
        over.abort();
        await answer.body?.cancel().catch(() => undefined);
      }
      for (const header of ["if-none-match", "if-match"]) {
        const read = await service.client().get("/items", { [header]: text });
        assert(read.status < 500, `${header} ${text.slice(0, 80)}: ${read.status}`);
        const put = await service.client().put("/items/1", { name: "x" }, { [header]: text });
        assert(put.status < 500, `${header} ${text.slice(0, 80)}: ${put.status}`);
      }
    }
  });
});
