// Checks an append and encrypts its personal fields before any lock is taken, so that a bad append
// never reaches a batch.
import { isEventType, schemas } from "$events/mod.ts";
import { AppError } from "../errors.ts";
import type { Append, Prepared } from "./append_batch.ts";
import { encrypt, hasPersonal, isKey, type Keys, newKey } from "./personal_data.ts";
import { canonical, isStorable, isStorableText } from "./hash_chain.ts";

const MAX_EVENT_BYTES = 256 * 1024;
export const MAX_STREAM_LENGTH = 200;
const UNSTORABLE = "text with NUL or half a surrogate pair";

type Part = Append["streams"][number];

/** `old` holds the existing keys of its streams. */
export function prepare(append: Append, old: Keys): Prepared {
  for (const { stream } of append.streams) checkName(stream);
  for (const { stream } of append.guards ?? []) checkName(stream);
  if (!isStorable(append.meta)) throw new AppError("invalid", `meta refused: ${UNSTORABLE}`);
  const meta = canonical(append.meta);
  const prepared: Prepared = { append, meta, events: [], keys: new Map() };
  for (const { stream, expected, events } of append.streams) {
    for (const event of events) {
      const valid = validate(event);
      const data = hasPersonal(valid.type, valid.data)
        ? encrypt(valid.type, valid.data, stream, keyFor(stream, expected, prepared, old))
        : valid.data;
      prepared.events.push({ stream, event: valid, data: storable(valid.type, data) });
    }
  }
  return prepared;
}

function checkName(stream: string): void {
  if (stream !== "" && stream.length <= MAX_STREAM_LENGTH && isStorableText(stream)) return;
  throw new AppError("invalid", `stream name refused: ${JSON.stringify(stream.slice(0, 80))}`);
}

export function needsOldKey({ expected, events }: Part): boolean {
  return expected !== "none" && events.some(({ type, data }) => hasPersonal(type, data));
}

// With an unknown version two writers could encrypt with two keys, and one text would be lost.
function keyFor(
  stream: string,
  expected: Part["expected"],
  prepared: Prepared,
  old: Keys,
): Uint8Array {
  const key = old.get(stream) ?? prepared.keys.get(stream);
  if (key && isKey(key)) return key;
  if (key) throw new AppError("conflict", `the key is damaged, nothing can be added: ${stream}`);
  if (expected !== "none" && expected !== 0) {
    throw new AppError("conflict", `personal fields of an erased or unknown stream: ${stream}`);
  }
  const made = newKey();
  prepared.keys.set(stream, made);
  return made;
}

function validate(event: Part["events"][number]): Part["events"][number] {
  if (!isEventType(event.type)) {
    throw new AppError("invalid", `unknown event type: ${String(event.type)}`);
  }
  const result = schemas[event.type].safeParse(event.data);
  if (result.success) {
    // Checks personal text while it can still be read: its read model is not encrypted.
    if (isStorable(result.data)) return { type: event.type, data: result.data } as typeof event;
    throw new AppError("invalid", `${event.type} refused: ${UNSTORABLE}`);
  }
  const why = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new AppError("invalid", `${event.type} refused: ${why.join("; ")}`);
}

function storable(type: string, data: unknown): string {
  const text = canonical(data);
  if (text.length <= MAX_EVENT_BYTES) return text;
  const limit = `${text.length} characters, at most ${MAX_EVENT_BYTES}`;
  throw new AppError("too_large", `${type} refused: ${limit}`);
}
