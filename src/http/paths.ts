// Which call an address means. Most are asked for as they are written down, and are found in one step.
import type { Result } from "hono/router";
import { TrieRouter } from "hono/router/trie-router";

export class PathRouter<T> extends TrieRouter<T> {
  readonly #written = new Set<string>();
  readonly #found = new Map<string, Result<T>>();

  override add(method: string, path: string, handler: T): void {
    this.#written.add(path);
    super.add(method, path, handler);
  }

  override match(method: string, path: string): Result<T> {
    if (!this.#written.has(path)) return super.match(method, path);
    const known = this.#found.get(`${method} ${path}`);
    if (known) return known;
    const found = super.match(method, path);
    // Methods that somebody makes up mean nothing, and are not kept.
    if (found[0].length > 0) this.#found.set(`${method} ${path}`, found);
    return found;
  }
}
