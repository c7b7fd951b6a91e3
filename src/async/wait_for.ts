// Waits for a condition instead of a length of time.
import { AppError, reason } from "../errors.ts";

/** Resolves with the first value that is neither false nor undefined; a throw counts as "not yet". */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  deadlineMs = 10_000,
  what = "the condition",
): Promise<Exclude<T, false | undefined | null>> {
  const started = performance.now();
  let last: unknown = "never true";
  while (performance.now() - started < deadlineMs) {
    try {
      const value = await condition();
      if (holds(value)) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new AppError("unavailable", `waited ${deadlineMs} ms for ${what}: ${reason(last)}`);
}

function holds<T>(value: T): value is Exclude<T, false | undefined | null> {
  return value !== false && value !== undefined && value !== null;
}
