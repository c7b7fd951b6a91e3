// The list of all events. An event name is written once: as the key of its schema.
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

/** Fields that the log adds to an event when it is appended. */
export type Recorded<Event extends NewEvent = NewEvent> = Event & {
  position: number;
  stream: string;
  version: number;
  meta: Meta;
  at: Date;
  seal: string;
  /** Its personal fields are blank, because their key was deleted. */
  erased: boolean;
  /** They are blank because their key does not decrypt them: erased to readers, not to their owner. */
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
 * Parses stored data as this version knows it. A later version may have added fields, and a replica
 * of this one runs beside it until all are upgraded: it ignores them, and the log keeps them. A new
 * event is checked against the schema itself, which accepts no unknown field.
 */
export function parseStored(type: EventType, data: unknown) {
  const result = schemas[type].safeParse(data);
  if (result.success) return result;
  const unknown = result.error.issues.filter((issue) => issue.code === "unrecognized_keys");
  if (unknown.length === 0) return result;
  const known = unknown.reduce((left, { path, keys }) => without(left, path, keys), data);
  return schemas[type].safeParse(known);
}

/** A copy of the value without these keys of the object at the path. */
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

/** Each older type takes the stored data and returns an event of today. */
export const upcasters: Record<string, (data: unknown) => { type: EventType; data: unknown }> = {};
