// The list of everything that can happen. An event name is written once: as the key of its schema.
import type { z } from "zod";
import { guestbook } from "./guestbook.ts";
import { items } from "./items.ts";
import { personalFields } from "./personal.ts";
import { polls } from "./polls.ts";
import { users } from "./users.ts";
import { visits } from "./visits.ts";

export const schemas = { ...guestbook, ...users, ...items, ...polls, ...visits };

export type EventType = keyof typeof schemas;

export type NewEvent = {
  [Type in EventType]: { type: Type; data: z.infer<(typeof schemas)[Type]> };
}[EventType];

export type Actor = "visitor" | "admin" | "system";

export type Meta = { request?: string; actor: Actor; key?: string };

/** What the log adds to an event when it takes it in. */
export type Recorded<Event extends NewEvent = NewEvent> = Event & {
  position: number;
  stream: string;
  version: number;
  meta: Meta;
  at: Date;
  seal: string;
  /** Its personal fields are blank, because the key to them was deleted. */
  erased: boolean;
  /** They are blank because their key does not open them: erased to readers, not to their owner. */
  unreadable?: true;
};

export type EventOf<Type extends EventType> = Recorded<Extract<NewEvent, { type: Type }>>;

export const personal: Record<string, string[]> = Object.fromEntries(
  Object.entries(schemas).map(([type, schema]) => [type, personalFields(schema)]),
);

export function isEventType(type: string): type is EventType {
  return Object.hasOwn(schemas, type);
}

/**
 * Stored data as this version knows it. A later one may have added fields, and a replica of this one
 * works beside it until all are upgraded: it looks past them, and the log keeps them. What is
 * appended here is held against the schema itself, which takes no field that it does not name.
 */
export function parseStored(type: EventType, data: unknown) {
  const result = schemas[type].safeParse(data);
  if (result.success) return result;
  const unknown = result.error.issues.filter((issue) => issue.code === "unrecognized_keys");
  if (unknown.length === 0) return result;
  const known = unknown.reduce((left, { path, keys }) => without(left, path, keys), data);
  return schemas[type].safeParse(known);
}

/** The same but for these keys of what the path leads to. */
function without(value: unknown, [step, ...rest]: PropertyKey[], keys: string[]): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    return value.map((item, i) => i === step ? without(item, rest, keys) : item);
  }
  const entries = Object.entries(value);
  const left = step === undefined
    ? entries.filter(([name]) => !keys.includes(name))
    : entries.map(([name, item]) => [name, name === step ? without(item, rest, keys) : item]);
  return Object.fromEntries(left);
}

/** What an older type has become: each takes the stored data and answers today's event. */
export const upcasters: Record<string, (data: unknown) => { type: EventType; data: unknown }> = {};
