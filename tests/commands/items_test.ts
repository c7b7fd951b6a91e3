import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { NewEvent } from "$events/mod.ts";
import { changeItem, createItem, deleteItem, foldItem } from "$src/commands/items.ts";
import { assertNothing, assertRefused, recorded } from "./given.ts";

const facts = { id: 3, name: "Lamp", description: "Brass" };
const created: NewEvent = { type: "ItemCreated", data: facts };
const changed: NewEvent = { type: "ItemChanged", data: { id: 3, name: "Lantern" } };
const deleted: NewEvent = { type: "ItemDeleted", data: { id: 3 } };

const given = (...events: NewEvent[]) => foldItem(recorded(events));

describe("items", () => {
  it("are created in a stream that must be new", () => {
    assertEquals(createItem(facts), {
      streams: [{ stream: "item-3", expected: "none", events: [created] }],
    });
  });

  it("change by the fields that differ, at the version that was read", () => {
    assertEquals(changeItem(given(created), { name: "Lantern", description: "Brass" }), {
      streams: [{ stream: "item-3", expected: 1, events: [changed] }],
    });
    const again = changeItem(given(created, changed), { description: "" });
    const event = { type: "ItemChanged", data: { id: 3, description: "" } };
    assertEquals(again, {
      streams: [{ stream: "item-3", expected: 2, events: [event as NewEvent] }],
    });
  });

  it("do not change when no field differs", () => {
    assertNothing(changeItem(given(created, changed), { name: "Lantern" }));
    assertNothing(changeItem(given(created), {}));
  });

  it("are deleted once", () => {
    assertEquals(deleteItem(given(created, changed)), {
      streams: [{ stream: "item-3", expected: 2, events: [deleted] }],
    });
    assertRefused(() => deleteItem(given(created, deleted)), { code: "not_found" });
  });

  it("refuse a caller who read another version", () => {
    assertRefused(() => changeItem(given(created), { name: "x", ifMatch: [2] }), { code: "stale" });
    assertRefused(() => changeItem(given(created), { ifMatch: [NaN] }), { code: "stale" });
    assertRefused(() => deleteItem(given(created, changed), [1]), { code: "stale" });
  });

  it("are not found before creation, nor after deletion", () => {
    for (const state of [undefined, given(created, deleted)]) {
      assertRefused(() => changeItem(state, { name: "x", ifMatch: [9] }), { code: "not_found" });
      assertRefused(() => deleteItem(state, "any"), { code: "not_found" });
    }
  });
});
