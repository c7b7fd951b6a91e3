// Which call an address means. What was asked for lately is found in one step.
import type { Result } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

const MAX_RECENT = 500;
// Longer ones are no links of ours, and would fill the memory.
const MAX_LENGTH = 200;

export class CachedRouter<T> extends TrieRouter<T> {
  readonly #recent = new Map<string, Result<T>>();

  override match(method: string, path: string): Result<T> {
    const asked = `${method} ${path}`;
    const known = this.#recent.get(asked);
    if (known) return known;
    const found = super.match(method, path);
    // Methods and addresses that somebody makes up mean nothing, and are not kept.
    if (found[0].length === 0 || asked.length > MAX_LENGTH) return found;
    if (this.#recent.size >= MAX_RECENT) this.#recent.clear();
    this.#recent.set(asked, found);
    return found;
  }
}
