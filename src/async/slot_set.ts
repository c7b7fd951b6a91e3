// A set for short-lived items, added and removed with every request. A long-lived Set is in V8's
// old space, and so is every table that it outgrows: each keeps removed items reachable, with the
// whole request behind them, until the next full collection. This one clears each slot on removal.

type Slot<Item> = { item: Item | undefined };

export class SlotSet<Item> {
  readonly #slots = new Set<Slot<Item>>();

  get size(): number {
    return this.#slots.size;
  }

  /** The returned function removes the item. */
  add(item: Item): () => void {
    const slot: Slot<Item> = { item };
    this.#slots.add(slot);
    return () => {
      this.#slots.delete(slot);
      slot.item = undefined;
    };
  }

  /** In insertion order; items may be removed during the iteration. */
  *[Symbol.iterator](): Generator<Item> {
    for (const { item } of this.#slots) if (item !== undefined) yield item;
  }
}
