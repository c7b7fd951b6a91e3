// The confirmed positions beyond the watermark; they arrive in any order, from several replicas.
import type { PositionRange } from "./invalidator.ts";

export class PositionRanges {
  /** The last position of each range, by its first. */
  readonly #ranges = new Map<number, number>();

  add({ first, last }: PositionRange): void {
    this.#ranges.set(first, Math.max(last, this.#ranges.get(first) ?? 0));
  }

  /** The end of the gapless run after this position; removes the ranges of the run. */
  takeFrom(position: number): number {
    let end = position;
    for (let last = this.#ranges.get(end + 1); last !== undefined;) {
      this.#ranges.delete(end + 1);
      end = last;
      last = this.#ranges.get(end + 1);
    }
    return end;
  }

  /** Removes ranges up to this position, which is done, whichever process did it. */
  dropUntil(position: number): void {
    for (const first of this.#ranges.keys()) if (first <= position) this.#ranges.delete(first);
  }

  clear(): void {
    this.#ranges.clear();
  }
}
