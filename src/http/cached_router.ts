// Hono's TrieRouter with a cache of recent matches, so that a hot path costs one Map lookup.
import type { Result } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

const MAX_RECENT = 500;
// No link of the service is longer; longer paths would only fill the memory.
const MAX_LENGTH = 200;

export class CachedRouter<T> extends TrieRouter<T> {
  readonly #recent = new Map<string, Result<T>>();

  override match(method: string, path: string): Result<T> {
    const key = `${method} ${path}`;
    const known = this.#recent.get(key);
    if (known) return known;
    const found = super.match(method, path);
    // Not cached without a match: a client could fill the map with made-up paths.
    if (found[0].length === 0 || key.length > MAX_LENGTH) return found;
    if (this.#recent.size >= MAX_RECENT) this.#recent.clear();
    this.#recent.set(key, found);
    return found;
  }
}
