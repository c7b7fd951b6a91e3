// The leader's lock: a session lock of the database, so that however a leader dies, the next one gets
// it. A session that is silent for SILENT_MS is ended by the server: a frozen leader keeps no lock.
import { ownSession, type Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { log } from "../log.ts";

const HEARTBEAT_MS = 500;
/** Silent for so long, a leader is none any more, to itself nor to the server. */
const SILENT_MS = 2500;

export type LeaderLock = AsyncDisposable & {
  /** The session that holds the lock. */
  sql: Sql;
  lost: AbortSignal;
  /** False from the moment on at which somebody else may have taken over. */
  isHeld(): boolean;
};

/** Waits until the lock is this process'. */
export async function acquireLock(
  sql: Sql,
  lock: number,
  signal: AbortSignal,
): Promise<LeaderLock> {
  const lost = new AbortController();
  const session = ownSession(sql, () => lost.abort());
  const stop = () => session.end({ timeout: 0 });
  signal.addEventListener("abort", stop);
  try {
    // What a leader saves about its progress may be lost with the database: it is then done once more.
    await session`set synchronous_commit = off`;
    await session`set statement_timeout = 0`;
    await session`select set_config('idle_session_timeout', ${String(SILENT_MS)}, false)`;
    // Detect dead clients while they queue for the lock; otherwise the server hands it to them. A server
    // on Windows cannot.
    await session`
      select set_config('client_connection_check_interval', ${String(HEARTBEAT_MS)}, false)`
      .catch((error) => log.debug("leader.lock_option", { error: reason(error) }));
    await session`select pg_advisory_lock(${lock})`;
    if (lost.signal.aborted) throw new AppError("unavailable", "the session was lost meanwhile");
    return heldBy(session, lost, signal);
  } catch (error) {
    await session.end({ timeout: 0 });
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function heldBy(session: Sql, lost: AbortController, signal: AbortSignal): LeaderLock {
  let heardAt = performance.now();
  const isHeld = () => !lost.signal.aborted && performance.now() - heardAt < SILENT_MS;
  const heartbeat = setInterval(() => {
    // Silent for too long is lost as well: the others may have taken over by now.
    if (!isHeld()) return lost.abort();
    const asked = performance.now();
    session`select 1`.then(() => heardAt = asked, () => lost.abort());
  }, HEARTBEAT_MS);
  return {
    sql: session,
    lost: AbortSignal.any([signal, lost.signal]),
    isHeld,
    async [Symbol.asyncDispose]() {
      clearInterval(heartbeat);
      await session.end({ timeout: 0 });
    },
  };
}
