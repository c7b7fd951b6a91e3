// What a command decides: which streams grow by which events, relying on what.
import type { NewEvent } from "$events/mod.ts";
import { AppError } from "../errors.ts";
import type { Append } from "../store/appender.ts";

/** The part of an append that a command knows: of one type with it, so that no field can be lost. */
export type Decision = Pick<Append, "streams" | "guards" | "notAfter" | "erase">;

/** The version a caller saw, from If-Match: a list, or any that exists. */
export type IfMatch = number[] | "any" | undefined;

export function checkMatch(version: number, ifMatch: IfMatch): void {
  if (ifMatch === undefined || ifMatch === "any" || ifMatch.includes(version)) return;
  throw new AppError("stale", `changed since you read it: version ${version} now`);
}

export function appendTo(stream: string, expected: number, ...events: NewEvent[]): Decision {
  return { streams: [{ stream, expected: expected === 0 ? "none" : expected, events }] };
}

/** Nothing to write: the state already is what was asked for. */
export const NO_CHANGE: Decision = { streams: [] };
