// One clock for the many waits that hardly ever end by it. A timer of its own for each was among the
// dearest things that a request did.
import { SlotSet } from "./slot_set.ts";

const TICK_MS = 25;

type CoarseTimer = { at: number; ring: () => void };

const timers = new SlotSet<CoarseTimer>();
let clock: ReturnType<typeof setInterval> | undefined;

/** Rings after so long, or a tick later; what it answers calls it off. */
export function setCoarseTimeout(ms: number, ring: () => void): () => void {
  const callOff = timers.add({
    at: performance.now() + ms,
    ring() {
      callOff();
      ring();
    },
  });
  clock ??= setInterval(look, TICK_MS);
  return callOff;
}

function look(): void {
  const now = performance.now();
  for (const alarm of timers) if (alarm.at <= now) alarm.ring();
  if (timers.size > 0) return;
  clearInterval(clock);
  clock = undefined;
}

/** The work's own outcome, or the refusal where that comes first. */
export function withTimeout<Result>(
  ms: number,
  work: Promise<Result>,
  refusal: () => Error,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const callOff = setCoarseTimeout(ms, () => reject(refusal()));
    work.then((result) => {
      callOff();
      resolve(result);
    }, (error) => {
      callOff();
      reject(error);
    });
  });
}
