import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { NewEvent } from "$events/mod.ts";
import {
  type Actor,
  editEntry,
  eraseEntry,
  foldEntry,
  hideEntry,
  restoreEntry,
  signEntry,
} from "$src/commands/guestbook.ts";
import { assertNothing, assertRefused, minutesAgo, NOW, recorded } from "./given.ts";

const facts = { id: 7, name: "Ada", message: "Hello", author: "ada", held: false };
const signed: NewEvent = { type: "EntrySigned", data: facts };
const held: NewEvent = { type: "EntrySigned", data: { ...facts, held: true } };
const hidden: NewEvent = { type: "EntryHidden", data: { id: 7 } };
const restored: NewEvent = { type: "EntryRestored", data: { id: 7 } };
const erased: NewEvent = { type: "EntryErased", data: { id: 7 } };

const author: Actor = { admin: false, author: "ada", now: NOW };
const stranger: Actor = { admin: false, author: "bob", now: NOW };
const nobody: Actor = { admin: false, now: NOW };
const admin: Actor = { admin: true, now: NOW };

const given = (...events: NewEvent[]) => foldEntry(recorded(events));
const signedAgo = (minutes: number) => foldEntry(recorded([signed], minutesAgo(minutes)));

function edited(version: number, data: Record<string, unknown>) {
  const event = { type: "EntryEdited", data: { id: 7, ...data } };
  return { streams: [{ stream: "entry-7", expected: version, events: [event] }] };
}

describe("signEntry()", () => {
  it("appends to a stream that must be new", () => {
    const streams = [{ stream: "entry-7", expected: "none" as const, events: [signed] }];
    assertEquals(signEntry(facts), { streams });
  });
});

describe("editEntry()", () => {
  it("writes only the changed fields, at the version it read", () => {
    const change = { name: "Ada", message: "Hi" };
    assertEquals(editEntry(given(signed), change, author), edited(1, { message: "Hi" }));
  });

  it("counts versions over events of every type", () => {
    const state = given(signed, hidden, restored);
    assertEquals(editEntry(state, { name: "A" }, author), edited(3, { name: "A" }));
  });

  it("writes nothing where nothing differs", () => {
    assertNothing(editEntry(given(signed), { name: "Ada" }, author));
  });

  it("allows the author for exactly 15 minutes", () => {
    assertEquals(editEntry(signedAgo(14.99), { name: "A" }, author), edited(1, { name: "A" }));
    assertRefused(() => editEntry(signedAgo(15), { name: "A" }, author), { code: "forbidden" });
  });

  it("always allows an admin", () => {
    assertEquals(editEntry(signedAgo(5000), { name: "A" }, admin), edited(1, { name: "A" }));
  });

  for (
    const [who, asker] of [["a stranger", stranger], ["a caller without cookie", nobody]] as const
  ) {
    it(`refuses ${who}`, () => {
      assertRefused(() => editEntry(given(signed), { name: "A" }, asker), { code: "forbidden" });
    });
  }

  it("refuses every visitor where the author is unknown", () => {
    const anonymous = given({ type: "EntrySigned", data: { ...facts, author: null } });
    assertRefused(() => editEntry(anonymous, { name: "A" }, nobody), { code: "forbidden" });
  });

  it("refuses a version other than the one the caller read", () => {
    const state = given(signed, hidden, restored);
    assertRefused(() => editEntry(state, { ifMatch: [1, 2] }, author), { code: "stale" });
    assertEquals(
      editEntry(state, { name: "A", ifMatch: [2, 3] }, author),
      edited(3, { name: "A" }),
    );
    assertEquals(editEntry(state, { name: "A", ifMatch: "any" }, author), edited(3, { name: "A" }));
  });

  it("does not find an unsigned or erased entry, nor one hidden from its author", () => {
    for (const state of [undefined, given(signed, erased), given(signed, hidden)]) {
      assertRefused(() => editEntry(state, { name: "A" }, author), { code: "not_found" });
    }
  });

  it("holds an approved entry again when its text changes under moderation", () => {
    const change = { message: "Buy now", held: true };
    assertEquals(editEntry(given(held, restored), change, author), edited(2, change));
    assertEquals(editEntry(given(held), change, author), edited(1, change));
    assertNothing(editEntry(given(held, restored), { message: "Hello", held: true }, author));
    const data = { id: 7, ...change };
    const state = given(held, restored, { type: "EntryEdited", data });
    assertEquals([state?.status, state?.message], ["held", "Buy now"]);
    assertEquals(restoreEntry(state).streams[0]?.events, [restored]);
  });

  it("lets an author change a held entry", () => {
    assertEquals(editEntry(given(held), { name: "A" }, author), edited(1, { name: "A" }));
  });
});

describe("eraseEntry()", () => {
  it("erases the stream's personal fields with the event", () => {
    assertEquals(eraseEntry(given(signed), author), {
      streams: [{ stream: "entry-7", expected: 1, events: [erased] }],
      erase: ["entry-7"],
    });
  });

  it("is refused like an edit, and the second time", () => {
    assertRefused(() => eraseEntry(given(signed), stranger), { code: "forbidden" });
    assertRefused(() => eraseEntry(signedAgo(16), author), { code: "forbidden" });
    assertRefused(() => eraseEntry(given(signed), author, [9]), { code: "stale" });
    assertRefused(() => eraseEntry(given(signed, erased), admin), { code: "not_found" });
  });

  it("reaches a hidden or held entry, for an admin", () => {
    assertEquals(eraseEntry(given(signed, hidden), admin).erase, ["entry-7"]);
    assertEquals(eraseEntry(given(held), admin).erase, ["entry-7"]);
  });
});

describe("hideEntry() and restoreEntry()", () => {
  it("hide a shown or held entry, once", () => {
    assertEquals(hideEntry(given(signed)).streams[0]?.events, [hidden]);
    assertEquals(hideEntry(given(held)).streams[0]?.events, [hidden]);
    assertNothing(hideEntry(given(signed, hidden)));
  });

  it("show a hidden or held entry, once", () => {
    assertEquals(restoreEntry(given(signed, hidden)).streams[0]?.events, [restored]);
    assertEquals(restoreEntry(given(held)).streams[0]?.events, [restored]);
    assertNothing(restoreEntry(given(signed)));
    assertNothing(restoreEntry(given(held, restored)));
  });

  it("do not find an erased or unknown entry", () => {
    for (const state of [undefined, given(signed, erased)]) {
      assertRefused(() => hideEntry(state), { code: "not_found" });
      assertRefused(() => restoreEntry(state), { code: "not_found" });
    }
  });
});

describe("foldEntry()", () => {
  it("treats an entry with blank text as erased", () => {
    const [event] = recorded([signed]);
    assertEquals(event && foldEntry([{ ...event, erased: true }])?.status, "erased");
  });
});
