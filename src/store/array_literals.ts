// Array literals of PostgreSQL. The client makes the same of a list, but visits each element more
// than once; `deno task bench profile` shows what the client costs.
import { quoted } from "../connections/array_types.ts";

export function textArray(texts: readonly string[]): string {
  let inside = "";
  for (const text of texts) inside += `${inside === "" ? "" : ","}${quoted(text)}`;
  return `{${inside}}`;
}

export function numberArray(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}

/** One JSON array of texts that are JSON already. */
export function jsonArray(texts: readonly string[]): string {
  return `[${texts.join(",")}]`;
}
