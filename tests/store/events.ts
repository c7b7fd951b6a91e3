// Events for tests, and stream names that no other test uses.
import type { Meta, NewEvent } from "$events/mod.ts";
import type { Append, StreamAppend } from "$src/store/appender.ts";

export const meta: Meta = { actor: "system" };

let streams = 0;

export function newStream(subject = "visits"): string {
  return `${subject}-${++streams}`;
}

export function visit(page = "/", count = 1): NewEvent {
  return { type: "VisitsCounted", data: { page, count } };
}

export function item(description: string, id = 1): NewEvent {
  return { type: "ItemCreated", data: { id, name: "an item", description } };
}

export function signed(message: string, id = 1): NewEvent {
  return { type: "EntrySigned", data: { id, name: "Ada", message, author: null, held: false } };
}

export function edited(message: string, id = 1): NewEvent {
  return { type: "EntryEdited", data: { id, message } };
}

/** One event appended to one stream at any version. */
export function one(stream: string, part: Partial<StreamAppend & Append> = {}): Append {
  const { expected = "any", events = [visit()], ...rest } = part;
  return { streams: [{ stream, expected, events }], meta, ...rest };
}
