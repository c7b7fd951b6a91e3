// The leader's lock: a session lock of the database, so that the next leader gets it however the
// last one dies. The server ends a session that is silent for SILENT_MS: a frozen leader keeps no
// lock.
import { ownSession, type Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { log } from "../log.ts";

const HEARTBEAT_MS = 500;
/** After so long a silence, neither the process nor the server regards it as the leader. */
const SILENT_MS = 2500;

export type LeaderLock = AsyncDisposable & {
  /** The session that holds the lock. */
  sql: Sql;
  lost: AbortSignal;
  /** False from the moment at which another process may have taken over. */
  isHeld(): boolean;
};

/** Waits until this process holds the lock. */
export async function acquireLock(
  sql: Sql,
  lock: number,
  signal: AbortSignal,
): Promise<LeaderLock> {
  const lost = new AbortController();
  const session = ownSession(sql, () => lost.abort());
  // The client would open another session for its next query, one that holds no lock.
  lost.signal.addEventListener("abort", () => void session.end({ timeout: 0 }), { once: true });
  const stop = () => session.end({ timeout: 0 });
  signal.addEventListener("abort", stop);
  try {
    // The database may lose what a leader saved about its progress: that work is then repeated.
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
  let answeredAt = performance.now();
  const isHeld = () => !lost.signal.aborted && performance.now() - answeredAt < SILENT_MS;
  const heartbeat = setInterval(() => {
    // A session that was silent for too long counts as lost: another replica may have taken over.
    if (!isHeld()) return lost.abort();
    const asked = performance.now();
    session`select 1`.then(() => answeredAt = asked, () => lost.abort());
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
