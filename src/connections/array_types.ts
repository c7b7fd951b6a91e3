// The array types of PostgreSQL that statements take as parameters. By default the client looks all
// of them up in pg_type on each new connection, by a query that nothing awaits: a connection that
// ends during it rejects a promise without a handler. Arrays are only sent; no statement reads one
// back.

type Item = string | number | null;
type Given = readonly Item[] | string;

const SPECIAL = /["\\]/;

export function quoted(text: string): string {
  return SPECIAL.test(text) ? `"${text.replace(/["\\]/g, "\\$&")}"` : `"${text}"`;
}

/** Leaves a literal unchanged: the client serializes again when it repeats a statement. */
export function arrayLiteral(given: Given): string {
  if (typeof given === "string") return given;
  return `{${given.map((item) => item === null ? "null" : quoted(String(item))).join(",")}}`;
}

const sent = (oid: number) => ({ to: oid, from: [], serialize: arrayLiteral, parse: String });

/** By their numbers in pg_type, which are the same in every PostgreSQL. */
export const arrayTypes = {
  texts: sent(1009),
  ints: sent(1007),
  bigints: sent(1016),
  timestamps: sent(1185),
};
