// Arrays as PostgreSQL writes them. The client makes the same of a list, and looks at each element more
// than once for it; deno task bench profile names what the client costs.
import { quoted } from "../connections/array_types.ts";

export function textArray(texts: readonly string[]): string {
  let inside = "";
  for (const text of texts) inside += `${inside === "" ? "" : ","}${quoted(text)}`;
  return `{${inside}}`;
}

export function numberArray(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}

/** Texts that are JSON already, as one JSON array. */
export function jsonArray(texts: readonly string[]): string {
  return `[${texts.join(",")}]`;
}
