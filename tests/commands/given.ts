// Given these events, when this command runs, then these events are decided: the form of every command's
// test.
import { assertEquals, assertThrows } from "@std/assert";
import type { NewEvent, Recorded } from "$events/mod.ts";
import type { Decision } from "$src/commands/decision.ts";
import { AppError, type Code } from "$src/errors.ts";

export const NOW = new Date("2030-01-01T12:00:00Z");

export function minutesAgo(minutes: number): Date {
  return new Date(NOW.getTime() - minutes * 60_000);
}

/** Events as the log holds them: of one stream, with versions from 1. */
export function recorded(events: NewEvent[], at = NOW): Recorded[] {
  return events.map((event, i) => ({
    ...event,
    position: i + 1,
    stream: "the stream",
    version: i + 1,
    meta: { actor: "visitor" },
    at,
    seal: "0".repeat(64),
    erased: false,
  } as Recorded));
}

export function assertNothing(decision: Decision): void {
  assertEquals(decision, { streams: [] });
}

type Refusal = { code: Code; field?: string };

export function assertRefused(decide: () => unknown, { code, field }: Refusal): void {
  const error: AppError = assertThrows(decide, AppError);
  assertEquals(error.code, code, error.message);
  if (field !== undefined) assertEquals(error.detail.fields?.map((one) => one.field), [field]);
}
