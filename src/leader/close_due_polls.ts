// Closes polls after their deadline, as an event. The database's clock decides in the append itself
// whether a vote is in time; this job only records the closing.
import { closePoll, foldPoll, pollStream } from "../commands/polls.ts";
import type { Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import type { Job } from "./leader.ts";
import { log } from "../log.ts";
import { duePolls } from "$projections/polls.ts";
import type { Appender } from "../store/appender.ts";
import { readStream } from "../store/read.ts";
import { forgetOldAnswers } from "../store/idempotency.ts";
import type { StreamCache } from "../store/stream_cache.ts";

const LOOK_MS = 500;
const FORGET_EVERY = 7200;

export function deadlines(sql: Sql, appender: Appender, streams: StreamCache): Job {
  return async ({ signal }) => {
    for (let turn = 0; !signal.aborted; turn++) {
      try {
        for (const due of await duePolls(sql)) await close(due);
        if (turn % FORGET_EVERY === 0) await forgetOldAnswers(sql);
      } catch (error) {
        log.warn("polls.close_failed", { error: reason(error) });
      }
      await delay(LOOK_MS, signal);
    }
  };

  async function close({ id, version }: { id: number; version: number }): Promise<void> {
    const state = foldPoll(await readStream(sql, pollStream(id)));
    // The poll changed since it was found to be due: its deadline may be another one now.
    if (state?.version !== version) return;
    const decision = closePoll(state, "deadline");
    if (decision.streams.length === 0) return;
    try {
      await appender.append({ ...decision, meta: { actor: "system" } });
    } catch (error) {
      // The poll changed meanwhile: the next round looks at it again.
      if (!(error instanceof AppError && error.detail.actual !== undefined)) throw error;
    } finally {
      streams.invalidate(pollStream(id));
    }
  }
}
