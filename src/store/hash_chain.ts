// The hash chain: each event's seal covers the seal before it, so no past event can change alone.
// The formula is short on purpose: anybody with SHA-256 and RFC 8785 JSON can check a log.
import { hash } from "node:crypto";

export const GENESIS = "0".repeat(64);

export type Sealable = {
  position: number;
  stream: string;
  version: number;
  type: string;
  at: Date;
};

/** `data` and `meta` as they are stored (personal fields encrypted), in canonical form. */
export function sealOf(previous: string, event: Sealable, data: string, meta: string): string {
  const { position, stream, version, type, at } = event;
  const head = `[${position},${JSON.stringify(stream)},${version},${JSON.stringify(type)}]`;
  return hash("sha256", `${previous}\n${head}\n${at.toISOString()}\n${data}\n${meta}`, "hex");
}

// Far deeper than any event. Without a fixed limit, the stack space left would decide whether the
// same log verifies.
const MAX_DEPTH = 100;

/** RFC 8785: keys sorted, no spaces, numbers and strings as ECMAScript writes them. */
export function canonical(value: unknown, depth = 0): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (depth === MAX_DEPTH) throw new RangeError(`nested deeper than ${MAX_DEPTH}`);
  if (Array.isArray(value)) {
    return `[${value.map((item) => canonical(item ?? null, depth + 1)).join(",")}]`;
  }
  const fields = value as Record<string, unknown>;
  let text = "";
  // By UTF-16 code units, as the standard asks.
  for (const name of Object.keys(fields).sort()) {
    if (fields[name] === undefined) continue;
    const item = canonical(fields[name], depth + 1);
    text += `${text === "" ? "" : ","}${JSON.stringify(name)}:${item}`;
  }
  return `{${text}}`;
}

// A text that does not match has no number that a double would round.
const MAYBE_ROUNDED = /\d\.\d|\d{16}/;

/** Stored jsonb in canonical form; undefined if it holds a value that no event could carry. */
export function canonicalOfStored(text: string): string | undefined {
  try {
    return exactly(text);
  } catch (error) {
    // Nested deeper than any event.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function exactly(text: string): string | undefined {
  if (!MAYBE_ROUNDED.test(text)) return canonical(JSON.parse(text));
  let exact = true;
  const value: unknown = JSON.parse(text, (_name, item, context?: { source?: string }) => {
    if (typeof item === "number") exact &&= context?.source === plainDigits(item);
    return item;
  });
  return exact ? canonical(value) : undefined;
}

/** Writes a number as PostgreSQL's numeric does: never with an exponent. */
function plainDigits(value: number): string {
  const [, sign = "", whole = "", part = "", exponent = "0"] =
    String(value).match(/^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/) ?? [];
  const point = whole.length + Number(exponent);
  const digits = (whole + part).padStart(whole.length + part.length + Math.max(0, 1 - point), "0")
    .padEnd(point, "0");
  const at = Math.max(1, point);
  return digits.length > at ? `${sign}${digits.slice(0, at)}.${digits.slice(at)}` : sign + digits;
}

/** Whether PostgreSQL can store this: its text has no place for NUL and half a surrogate pair. */
export function isStorable(value: unknown): boolean {
  if (typeof value === "string") return isStorableText(value);
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) return value.every(isStorable);
  for (const [name, item] of Object.entries(value)) {
    if (!isStorableText(name) || !isStorable(item)) return false;
  }
  return true;
}

export function isStorableText(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}
