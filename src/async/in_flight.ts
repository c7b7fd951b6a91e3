// How many writes are under way, so that a service that is asked to stop knows when nobody waits.

export class InFlightWrites {
  #count = 0;
  #watching = new Set<() => void>();

  get count(): number {
    return this.#count;
  }

  enter(): void {
    this.#count++;
  }

  leave(): void {
    this.#count--;
    if (this.#count === 0) { for (const done of this.#watching) done(); }
  }

  /** Resolves at the first moment without a write, or after so long. */
  idle(ms: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#watching.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#watching.add(done);
    });
  }
}
