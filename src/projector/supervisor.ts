// Retries stopped projections at intervals, and runs rebuilds requested at the admin desk.
import type { Projection } from "$projections/projection.ts";
import type { Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import type { Job } from "../leader/leader.ts";
import { log } from "../log.ts";
import { catchUp, projectionStates } from "./projector.ts";
import { dropAbandoned, replay, withReplayLock } from "./replay.ts";

const LOOK_MS = 2000;

export class ProjectionSupervisor {
  readonly #sql: Sql;
  readonly #projections: Projection[];
  #replaying: { name: string; done: number; total: number } | undefined;

  constructor(sql: Sql, projections: Projection[]) {
    this.#sql = sql;
    this.#projections = projections;
  }

  /** The rebuild that this process is running. */
  get replaying(): { name: string; done: number; total: number } | undefined {
    return this.#replaying;
  }

  job: Job = async ({ signal }) => {
    while (!signal.aborted) {
      try {
        await this.retryStopped();
      } catch (error) {
        log.warn("projection.retry_failed", { error: reason(error) });
      }
      await delay(LOOK_MS, signal);
    }
  };

  async retryStopped(): Promise<void> {
    // Reads the head first: an event appended in between must not look like a lag.
    const [head] = await this.#sql<{ position: number }[]>`select position from counter`;
    const states = await projectionStates(this.#sql);
    for (const projection of this.#projections) {
      const state = states.find(({ name }) => name === projection.name);
      if (state && state.rebuild !== null) await dropAbandoned(this.#sql, projection);
      if (!state || !head || state.position >= head.position) continue;
      if (await catchUp(this.#sql, projection)) {
        log.info("projection.caught_up", { projection: projection.name });
      }
    }
  }

  /** Resolves once a replay has begun, so that later requests see it; a second one is refused. */
  async start(names: string[]): Promise<void> {
    const chosen = this.#projections.filter(({ name }) =>
      names.length === 0 || names.includes(name)
    );
    const unknown = names.find((name) => !this.#projections.some((one) => one.name === name));
    if (unknown) throw new AppError("not_found", `no such projection: ${unknown}`);
    const { promise: begun, resolve, reject } = Promise.withResolvers<void>();
    withReplayLock(this.#sql, async () => {
      for (const projection of chosen) {
        await replay(this.#sql, projection, {
          onBegin: resolve,
          onProgress: (done, total) => this.#replaying = { name: projection.name, done, total },
        });
      }
    }).catch((error) => {
      log.error("projection.replay_failed", { error: reason(error) });
      reject(error);
    }).finally(() => this.#replaying = undefined);
    await begun;
  }
}
