// The building bricks of what a request may carry; each refuses what no reader could be shown.
import { z } from "zod";

z.config({
  customError: (issue) =>
    issue.code === "invalid_type" && issue.input === undefined ? "is missing" : undefined,
});

const characters = (text: string) => [...text].length;

// Spaces, joiners, marks of direction and filler letters show nothing on their own; nor do Braille
// without dots, and the blanks of the Khitan, hieroglyphic and musical scripts.
const SEEN =
  /[^\p{Z}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800\u{16fe4}\u{13441}\u{13442}\u{1d159}]/u;

type TextOptions = { max: number; min?: number; lines?: boolean };

/** Text that people read: trimmed, counted in characters, without control characters. */
export function text({ max, min = 1, lines = false }: TextOptions) {
  // Line breaks and tabs are the only control characters that text of several lines may hold.
  const forbidden = lines ? /[^\P{Cc}\n\r\t]/u : /\p{Cc}/u;
  return z.string()
    .transform((value) => value.replaceAll("\r\n", "\n").trim())
    .refine((value) => value.isWellFormed() && !forbidden.test(value), {
      error: "has characters that cannot be shown",
    })
    .refine((value) => characters(value) >= min && (min === 0 || SEEN.test(value)), {
      error: "is empty",
    })
    .refine((value) => characters(value) <= max, { error: `is longer than ${max} characters` })
    .meta({ minLength: min, maxLength: max });
}

/** Text that is only compared with what the database holds: what it could not hold is refused. */
export function searchTerm(max: number) {
  return z.string().max(max).refine((value) => value.isWellFormed() && !value.includes("\0"), {
    error: "has characters that nothing stored has",
  });
}

export const email = z.string()
  .transform((value) => value.trim())
  .pipe(z.email({ error: "is not an e-mail address" }).max(254, "is longer than 254 characters"))
  .meta({ format: "email", maxLength: 254 });

// What an int4 column holds; a larger id is simply not there.
const MAX_ID = 2_147_483_647;

export const id = z.int().min(1).max(MAX_ID);

/** What is said of something that was changed, deleted, hidden... */
export const changed = z.object({ id, message: z.string() });

type WholeOptions = { min: number; max: number; what?: string };

/** A whole number in an address, written in one way only: no sign, no blank, no 1e3 or 0x10. */
export function decimalInteger({ min, max, what = "whole number" }: WholeOptions) {
  return z.string().regex(/^(0|[1-9]\d*)$/, `is not a ${what}`).transform(Number)
    .refine((value) => value >= min, { error: `is less than ${min}` })
    .refine((value) => value <= max, { error: `is more than ${max}` })
    .meta({ type: "integer", minimum: min, maximum: max });
}

// One way only here too: two addresses of one thing would be two copies in a cache.
export const idParams = z.object({ id: decimalInteger({ min: 1, max: MAX_ID }) });

const limit = decimalInteger({ min: 1, max: 100 });
const cursor = decimalInteger({ min: 0, max: MAX_ID }).optional();

export const newestFirst = z.object({ limit: limit.default(20), before: cursor });
export const oldestFirst = z.object({ limit: limit.default(100), after: cursor });

export const position = decimalInteger({ min: 0, max: Number.MAX_SAFE_INTEGER, what: "position" });
export const asOf = z.object({ asOf: position.optional() });

/** A moment as ISO 8601; an empty form field means none. */
export const dateTime = z.union([
  z.literal("").transform(() => null),
  z.null(),
  z.iso.datetime({ offset: true, local: true })
    // A form's date and time come without a zone: its label says UTC.
    .transform((value) => new Date(/(Z|[+-]\d\d:\d\d)$/i.test(value) ? value : `${value}Z`))
    .refine((value) => value.getUTCFullYear() <= 9999, { error: "is after the year 9999" }),
], { error: "is not a date and time" });

export const isoDate = z.iso.datetime();
