// The streams whose personal fields did not decrypt with their key. Every part of the service reads
// events, so this is one object per process, like the log: it reports each stream once and keeps
// its name.
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
