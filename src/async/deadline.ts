// One shared interval for the many timeouts that rarely fire. A timer of its own for each timeout
// was among the most expensive things in a request.
import { SlotSet } from "./slot_set.ts";

const TICK_MS = 25;

type CoarseTimer = { at: number; ring: () => void };

const timers = new SlotSet<CoarseTimer>();
let clock: ReturnType<typeof setInterval> | undefined;

/** Calls `ring` after `ms`, or a tick later; the returned function cancels it. */
export function setCoarseTimeout(ms: number, ring: () => void): () => void {
  const cancel = timers.add({
    at: performance.now() + ms,
    ring() {
      cancel();
      ring();
    },
  });
  clock ??= setInterval(fireDue, TICK_MS);
  return cancel;
}

function fireDue(): void {
  const now = performance.now();
  for (const timer of timers) if (timer.at <= now) timer.ring();
  if (timers.size > 0) return;
  clearInterval(clock);
  clock = undefined;
}

/** Settles as the work does, or rejects with the given error if that takes longer than `ms`. */
export function withTimeout<Result>(
  ms: number,
  work: Promise<Result>,
  timeoutError: () => Error,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const cancel = setCoarseTimeout(ms, () => reject(timeoutError()));
    work.then((result) => {
      cancel();
      resolve(result);
    }, (error) => {
      cancel();
      reject(error);
    });
  });
}
