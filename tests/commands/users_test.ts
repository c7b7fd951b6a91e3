import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { NewEvent } from "$events/mod.ts";
import {
  changeUser,
  type Claim,
  deleteUser,
  eraseUser,
  foldClaim,
  foldUser,
  registerUser,
} from "$src/commands/users.ts";
import { assertNothing, assertRefused, recorded } from "./given.ts";

const facts = { id: 4, name: "Ada", email: "ada@example.com" };
const registered: NewEvent = { type: "UserRegistered", data: { ...facts, claim: "email-a" } };
const deleted: NewEvent = { type: "UserDeleted", data: { id: 4 } };
const erased: NewEvent = { type: "UserErased", data: { id: 4 } };
const claimed: NewEvent = { type: "EmailClaimed", data: { user: 4 } };
const released: NewEvent = { type: "EmailReleased", data: { user: 4 } };

const given = (...events: NewEvent[]) => foldUser(recorded(events));
const free = (stream: string): Claim => ({ stream, version: 0, holder: null });
const own: Claim = { stream: "email-a", version: 1, holder: 4 };
const taken: Claim = { stream: "email-b", version: 5, holder: 9 };

describe("foldClaim()", () => {
  it("tracks the holder of an address, and that a released one is free", () => {
    assertEquals(foldClaim("email-a", []), free("email-a"));
    assertEquals(foldClaim("email-a", recorded([claimed])), own);
    const after = { stream: "email-a", version: 2, holder: null };
    assertEquals(foldClaim("email-a", recorded([claimed, released])), after);
  });
});

describe("registerUser()", () => {
  it("claims the address in the same append", () => {
    assertEquals(registerUser(facts, free("email-a")), {
      streams: [
        { stream: "user-4", expected: "none", events: [registered] },
        { stream: "email-a", expected: "none", events: [claimed] },
      ],
    });
  });

  it("claims a released address at the version of its release", () => {
    const claim = foldClaim("email-a", recorded([claimed, released]));
    assertEquals(registerUser(facts, claim).streams[1]?.expected, 2);
  });

  it("is refused where the address is taken, naming the field", () => {
    assertRefused(() => registerUser(facts, taken), { code: "conflict", field: "email" });
  });
});

describe("changeUser()", () => {
  it("writes only the changed fields", () => {
    const event = { type: "UserChanged" as const, data: { id: 4, name: "Lovelace" } };
    assertEquals(changeUser(given(registered), { name: "Lovelace" }), {
      streams: [{ stream: "user-4", expected: 1, events: [event] }],
    });
    assertNothing(changeUser(given(registered), { name: "Ada" }));
  });

  it("moves the claim along with the address", () => {
    const email = "lovelace@example.com";
    const data = { id: 4, email, claim: "email-c" };
    assertEquals(
      changeUser(given(registered), { email }, { from: own, to: free("email-c") }),
      {
        streams: [
          { stream: "user-4", expected: 1, events: [{ type: "UserChanged", data }] },
          { stream: "email-c", expected: "none", events: [claimed] },
          { stream: "email-a", expected: 1, events: [released] },
        ],
      },
    );
  });

  it("keeps the claim where only upper and lower case differ", () => {
    const email = "Ada@example.com";
    assertEquals(changeUser(given(registered), { email }, { from: own, to: own }), {
      streams: [{
        stream: "user-4",
        expected: 1,
        events: [{ type: "UserChanged", data: { id: 4, email } }],
      }],
    });
  });

  it("is refused where the new address is taken", () => {
    const change = () => changeUser(given(registered), { email: "b" }, { from: own, to: taken });
    assertRefused(change, { code: "conflict", field: "email" });
  });

  it("rejects a stale version and an unknown user", () => {
    const stale = () => changeUser(given(registered), { name: "x", ifMatch: [2] });
    assertRefused(stale, { code: "stale" });
    for (const state of [undefined, given(registered, deleted), given(registered, erased)]) {
      assertRefused(() => changeUser(state, { name: "x" }), { code: "not_found" });
    }
  });
});

describe("deleteUser()", () => {
  it("releases the address in the same append", () => {
    assertEquals(deleteUser(given(registered), own), {
      streams: [
        { stream: "user-4", expected: 1, events: [deleted] },
        { stream: "email-a", expected: 1, events: [released] },
      ],
    });
  });

  it("happens once, at the version that was read", () => {
    assertRefused(() => deleteUser(given(registered, deleted), own), { code: "not_found" });
    assertRefused(() => deleteUser(given(registered), own, [7]), { code: "stale" });
  });
});

describe("eraseUser()", () => {
  it("releases the address of an active user, and erases", () => {
    assertEquals(eraseUser(given(registered), own), {
      streams: [
        { stream: "user-4", expected: 1, events: [erased] },
        { stream: "email-a", expected: 1, events: [released] },
      ],
      erase: ["user-4"],
    });
  });

  it("reaches a deleted user, whose address may be claimed by another", () => {
    assertEquals(eraseUser(given(registered, deleted), { ...own, version: 3, holder: 8 }), {
      streams: [{ stream: "user-4", expected: 2, events: [erased] }],
      erase: ["user-4"],
    });
  });

  it("happens once", () => {
    assertRefused(() => eraseUser(given(registered, erased), own), { code: "not_found" });
    assertRefused(() => eraseUser(undefined, own), { code: "not_found" });
    assertRefused(() => eraseUser(given(registered), own, [2]), { code: "stale" });
  });
});
