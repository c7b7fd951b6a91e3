// Whose personal fields did not open with the key that is there. Reading happens at the bottom of
// everything, so, like the log, this is one for the process: it says so once and keeps the names.
import { log } from "../log.ts";

const MOST = 1000;

type Place = { stream: string; position: number };

class UndecryptableStreams {
  readonly #streams = new Set<string>();

  get streams(): string[] {
    return [...this.#streams];
  }

  note({ stream, position }: Place): void {
    if (this.#streams.has(stream) || this.#streams.size >= MOST) return;
    this.#streams.add(stream);
    log.error("store.undecryptable", { subject: stream, position });
  }

  forget(stream: string): void {
    this.#streams.delete(stream);
  }
}

export const unreadable = new UndecryptableStreams();
