// What comes and goes with every request. A Set that has lived for long is in V8's old space, and so is
// every table that it grows out of: each keeps all that it held alive, with the whole request behind
// it, until the next full collection. Here it holds on to empty slots.

type Slot<Item> = { item: Item | undefined };

export class SlotSet<Item> {
  readonly #slots = new Set<Slot<Item>>();

  get size(): number {
    return this.#slots.size;
  }

  /** What it answers takes the item out again. */
  add(item: Item): () => void {
    const slot: Slot<Item> = { item };
    this.#slots.add(slot);
    return () => {
      this.#slots.delete(slot);
      slot.item = undefined;
    };
  }

  /** In the order they came in, which may go meanwhile. */
  *[Symbol.iterator](): Generator<Item> {
    for (const { item } of this.#slots) if (item !== undefined) yield item;
  }
}
