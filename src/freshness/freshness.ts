// Keeps the promise "when a write is answered, every later read sees it": what the service does
// after a commit, and what a request waits for before its answer.
import type { Recorded } from "$events/mod.ts";
import { setCoarseTimeout } from "../async/deadline.ts";
import type { CacheBackend } from "../cache/backend.ts";
import type { Sql } from "../connections/postgres.ts";
import type { Job } from "../leader/leader.ts";
import { readHead } from "../store/read.ts";
import { CatchUp, savedWatermark } from "./catch_up.ts";
import { Invalidator } from "./invalidator.ts";
import type { NginxVersions } from "./nginx_versions.ts";
import { Watermark } from "./watermark.ts";

export type FreshnessOptions = {
  sql: Sql;
  embedded: boolean;
  cache: CacheBackend;
  nginxes: NginxVersions[];
};

export class Freshness implements AsyncDisposable {
  readonly #sql: Sql;
  readonly #nginxes: NginxVersions[];
  readonly #watermark: Watermark;
  readonly #catchUp: CatchUp;
  readonly #invalidator: Invalidator;

  constructor({ sql, embedded, cache, nginxes }: FreshnessOptions) {
    this.#sql = sql;
    this.#nginxes = nginxes;
    this.#watermark = new Watermark(() => savedWatermark(sql));
    this.#catchUp = new CatchUp({ sql, embedded, cache, nginxes, watermark: this.#watermark });
    this.#invalidator = new Invalidator({
      cache,
      nginxes,
      onDone: (ranges, done) => this.#catchUp.report(ranges, done),
    });
  }

  /** The leader's job. */
  get job(): Job {
    return this.#catchUp.lead;
  }

  /** The position that every read sees. */
  get visible(): number {
    return this.#watermark.position;
  }

  async listen(): Promise<void> {
    await this.#catchUp.listen();
  }

  /** Called after each commit of this process, in log order; true once every cache is invalidated. */
  committed(events: Recorded[]): Promise<boolean> {
    return this.#invalidator.committed(events);
  }

  /**
   * Whether every later read sees this position, waiting at most `ms`. `own` is the result of
   * committed(); commits of another replica, or those that this one could not invalidate, are
   * visible when the leader's watermark has passed them.
   */
  async waitFor(position: number, ms: number, own?: Promise<boolean>): Promise<boolean> {
    const until = performance.now() + ms;
    if (own !== undefined && await within(ms, own)) return true;
    return await this.#watermark.waitFor(position, until - performance.now());
  }

  /** The same for everything that is in the log now. */
  async waitForHead(ms: number): Promise<boolean> {
    const { position } = await readHead(this.#sql);
    return await this.#watermark.waitFor(position, ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#invalidator.idle();
    this.#watermark.close();
    await this.#catchUp[Symbol.asyncDispose]();
    await Promise.all(this.#nginxes.map((nginx) => nginx[Symbol.asyncDispose]()));
  }
}

/** False if the work takes longer. */
function within(ms: number, work: Promise<boolean>): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = setCoarseTimeout(ms, () => resolve(false));
    work.then((done) => {
      cancel();
      resolve(done);
    });
  });
}
