// Counts the writes under way, so that a stopping service can wait until there are none.

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

  /** Resolves as soon as no write is under way, or after `ms`. */
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
