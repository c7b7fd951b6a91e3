// Invalidates both caches for a batch of this process, before its writes are answered: first the
// Redis keys, then the page versions at every Nginx. In that order: a page loaded between the two
// under the new version would be made of stale values from Redis.
import type { Recorded } from "$events/mod.ts";
import { erasing, staleAfter } from "$projections/mod.ts";
import type { CacheBackend } from "../cache/backend.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";
import type { NginxVersions } from "./nginx_versions.ts";

/** The parts of the caches that one or more batches made stale. */
export type Changes = {
  /** Of the last event. */
  position: number;
  tags: ReadonlySet<string>;
  paths: ReadonlySet<string>;
  /** Kinds of cached values whose text must be deleted, not only made invalid. */
  erasedKinds: string[];
};

export type PositionRange = { first: number; last: number };

export function changesOf(events: Recorded[]): Changes {
  const { tags, addresses } = staleAfter(events);
  const kinds = events.flatMap(({ type }) => erasing[type] ?? []);
  const position = events.at(-1)?.position ?? 0;
  return { position, tags, paths: addresses, erasedKinds: [...new Set(kinds)] };
}

export type InvalidatorOptions = {
  cache: CacheBackend;
  nginxes: NginxVersions[];
  /** Called with each range of this process' positions, and whether every cache is invalidated. */
  onDone: (ranges: PositionRange[], done: boolean) => void;
};

type Round = {
  events: Recorded[];
  ranges: PositionRange[];
  outcome: PromiseWithResolvers<boolean>;
};

export class Invalidator {
  readonly #options: InvalidatorOptions;
  #next: Round | undefined;
  #running: Promise<void> | undefined;

  constructor(options: InvalidatorOptions) {
    this.#options = options;
  }

  /**
   * Called after each commit, in log order. True when no cache holds anything from before it; false
   * where one could not be reached, which is then up to the leader. Commits during a round go
   * together into the next one.
   */
  committed(events: Recorded[]): Promise<boolean> {
    const [first, last] = [events[0]?.position ?? 0, events.at(-1)?.position ?? 0];
    this.#next ??= { events: [], ranges: [], outcome: Promise.withResolvers<boolean>() };
    this.#next.events.push(...events);
    this.#next.ranges.push({ first, last });
    const { promise } = this.#next.outcome;
    this.#running ??= this.#run();
    return promise;
  }

  async #run(): Promise<void> {
    for (let round = this.#take(); round; round = this.#take()) {
      const done = await this.#invalidate(changesOf(round.events));
      this.#options.onDone(round.ranges, done);
      round.outcome.resolve(done);
    }
    this.#running = undefined;
  }

  #take(): Round | undefined {
    const round = this.#next;
    this.#next = undefined;
    return round;
  }

  async #invalidate({ tags, position, erasedKinds, paths }: Changes): Promise<boolean> {
    const { cache, nginxes } = this.#options;
    try {
      await cache.invalidate(tags, position);
      if (erasedKinds.length > 0) await cache.purgeKinds(erasedKinds);
      await Promise.all(nginxes.map((nginx) => nginx.raise(paths)));
      return true;
    } catch (error) {
      log.debug("freshness.invalidation_failed", { position, error: reason(error) });
      return false;
    }
  }

  /** Resolves when no round is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }
}
