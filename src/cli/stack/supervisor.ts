// Restarts app processes that end by themselves, as a container engine does. A process that `stop` or
// `kill` ended stays down until its caller starts it.
import { reason } from "../../errors.ts";
import type { ManagedProcess } from "./managed_process.ts";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;
/** A process that ran for this long counts as healthy: its next restart waits FIRST_WAIT_MS again. */
const STEADY_MS = 10_000;

export function supervise(parts: ManagedProcess[], say: (line: string) => void): Disposable {
  const over = new AbortController();
  for (const part of parts) superviseOne(part, say, over.signal);
  return { [Symbol.dispose]: () => over.abort() };
}

function superviseOne(part: ManagedProcess, say: (line: string) => void, over: AbortSignal): void {
  let waitMs = FIRST_WAIT_MS;
  let startedAt = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  over.addEventListener("abort", () => clearTimeout(timer));

  part.onEnd = ({ code, signal }) => {
    if (over.aborted) return;
    if (performance.now() - startedAt > STEADY_MS) waitMs = FIRST_WAIT_MS;
    const how = signal === null ? `code ${code}` : signal;
    say(`${part.name} ended by itself (${how}): starting it again in ${waitMs / 1000} s`);
    timer = setTimeout(startAgain, waitMs);
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
  };

  async function startAgain(): Promise<void> {
    if (!part.isWanted || part.pid !== undefined) return;
    startedAt = performance.now();
    try {
      await part.start();
      say(`${part.name} is ready again`);
    } catch (error) {
      // If the process ended meanwhile, `onEnd` has scheduled the next try.
      if (!over.aborted) say(reason(error));
    }
  }
}
