// The result of a command: the events to append, and the versions and deadline they depend on.
import type { NewEvent } from "$events/mod.ts";
import { AppError } from "../errors.ts";
import type { Append } from "../store/appender.ts";

/** The part of an append that a command knows: of one type with it, so that no field can be lost. */
export type Decision = Pick<Append, "streams" | "guards" | "notAfter" | "erase">;

/** The versions in If-Match, or "any" for `*`. */
export type IfMatch = number[] | "any" | undefined;

export function checkMatch(version: number, ifMatch: IfMatch): void {
  if (ifMatch === undefined || ifMatch === "any" || ifMatch.includes(version)) return;
  throw new AppError("stale", `changed since you read it: now at version ${version}`);
}

export function appendTo(stream: string, expected: number, ...events: NewEvent[]): Decision {
  return { streams: [{ stream, expected: expected === 0 ? "none" : expected, events }] };
}

/** Appends nothing: the state already is as requested. */
export const NO_CHANGE: Decision = { streams: [] };
