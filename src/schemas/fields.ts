// Field types for request schemas. Each refuses values that could not be shown to a reader.
import { z } from "zod";

z.config({
  customError: (issue) =>
    issue.code === "invalid_type" && issue.input === undefined ? "is missing" : undefined,
});

const characters = (text: string) => [...text].length;

// Spaces, joiners, direction marks and filler letters are invisible on their own; so are Braille without
// dots and the blanks of the Khitan, hieroglyphic and musical scripts.
const VISIBLE =
  /[^\p{Z}\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800\u{16fe4}\u{13441}\u{13442}\u{1d159}]/u;

type TextOptions = { max: number; min?: number; lines?: boolean };

/** Text for people: trimmed, measured in characters, without control characters. */
export function text({ max, min = 1, lines = false }: TextOptions) {
  // Line breaks and tabs are the only control characters that text of several lines may hold.
  const forbidden = lines ? /[^\P{Cc}\n\r\t]/u : /\p{Cc}/u;
  return z.string()
    .transform((value) => value.replaceAll("\r\n", "\n").trim())
    .refine((value) => value.isWellFormed() && !forbidden.test(value), {
      error: "has characters that cannot be shown",
    })
    .refine((value) => characters(value) >= min && (min === 0 || VISIBLE.test(value)), {
      error: "is empty",
    })
    .refine((value) => characters(value) <= max, { error: `is longer than ${max} characters` })
    .meta({ minLength: min, maxLength: max });
}

/** Text that is only compared with stored values; refuses characters that PostgreSQL cannot store. */
export function searchTerm(max: number) {
  return z.string().max(max).refine((value) => value.isWellFormed() && !value.includes("\0"), {
    error: "has characters that cannot be stored",
  });
}

export const email = z.string()
  .transform((value) => value.trim())
  .pipe(z.email({ error: "is not an e-mail address" }).max(254, "is longer than 254 characters"))
  .meta({ format: "email", maxLength: 254 });

// The largest int4; no record can have a larger id.
const MAX_ID = 2_147_483_647;

export const id = z.int().min(1).max(MAX_ID);

/** The answer to a change, deletion, hiding and the like. */
export const changed = z.object({ id, message: z.string() });

type WholeOptions = { min: number; max: number; what?: string };

/** A whole number in a URL, with one spelling only: no sign, no blank, no 1e3 or 0x10. */
export function decimalInteger({ min, max, what = "whole number" }: WholeOptions) {
  return z.string().regex(/^(0|[1-9]\d*)$/, `is not a ${what}`).transform(Number)
    .refine((value) => value >= min, { error: `is less than ${min}` })
    .refine((value) => value <= max, { error: `is more than ${max}` })
    .meta({ type: "integer", minimum: min, maximum: max });
}

// One spelling only, because each spelling would be a separate copy in a cache.
export const idParams = z.object({ id: decimalInteger({ min: 1, max: MAX_ID }) });

const limit = decimalInteger({ min: 1, max: 100 });
const cursor = decimalInteger({ min: 0, max: MAX_ID }).optional();

export const newestFirst = z.object({ limit: limit.default(20), before: cursor });
export const oldestFirst = z.object({ limit: limit.default(100), after: cursor });

export const position = decimalInteger({ min: 0, max: Number.MAX_SAFE_INTEGER, what: "position" });
export const asOf = z.object({ asOf: position.optional() });

/** A date and time in ISO 8601; an empty form field means none. */
export const dateTime = z.union([
  z.literal("").transform(() => null),
  z.null(),
  z.iso.datetime({ offset: true, local: true })
    // A form sends no time zone; its label says UTC.
    .transform((value) => new Date(/(Z|[+-]\d\d:\d\d)$/i.test(value) ? value : `${value}Z`))
    .refine((value) => value.getUTCFullYear() <= 9999, { error: "is after the year 9999" }),
], { error: "is not a date and time" });

export const isoDate = z.iso.datetime();
