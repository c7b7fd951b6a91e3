// Handles promises that were rejected without a handler. Deno ends the process for one; here it is
// an error in the log and a figure of /metrics. A rejection has unwound its own call and no other:
// a promise that nothing awaits leaves the same state behind as one that is awaited and caught. An
// exception out of a timer or a socket's callback still ends the process, as it may leave the
// callback's owner half changed.
import type { Counter } from "prom-client";
import { reason } from "../errors.ts";
import { log } from "../log.ts";

export class UnhandledRejections {
  #counter: Counter | undefined;
  #early = 0;

  constructor() {
    addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      this.#note(event.reason);
    });
  }

  /** Adds the rejections since the process began; metrics exist only once everything is open. */
  countIn(counter: Counter): void {
    counter.inc(this.#early);
    this.#counter = counter;
  }

  #note(error: unknown): void {
    if (this.#counter) this.#counter.inc();
    else this.#early++;
    const stack = error instanceof Error ? error.stack : "";
    log.error("process.unhandled_rejection", { error: reason(error), stack });
  }
}
