// A lock that one process holds for all: a session lock of the database's, which gives it to the next
// one whatever way the holder dies. A holder that is frozen rather than dead would keep its session;
// those who wait see that its connection has been silent, and end it.
import { ownSession, type Sql } from "./database.ts";
import { AppError, reason } from "./errors.ts";
import { log } from "./log.ts";

const BEAT_MS = 500;
/** Silent for so long, a holder no longer counts as one, to itself nor to the others. */
const SILENT_MS = 2500;

export type Hold = AsyncDisposable & {
  sql: Sql;
  lost: AbortSignal;
  /** False from the moment on at which somebody else may have taken over. */
  isHeld(): boolean;
};

/** Waits until the lock is this process'. */
export async function holdLock(sql: Sql, lock: number, signal: AbortSignal): Promise<Hold> {
  const lost = new AbortController();
  const session = ownSession(sql, () => lost.abort());
  const watching = setInterval(watchHolder(sql, lock), BEAT_MS);
  const stop = () => session.end({ timeout: 0 });
  signal.addEventListener("abort", stop);
  try {
    await session`set synchronous_commit = off`;
    await session`set statement_timeout = 0`;
    // Who waits for a lock and is gone would be waited for by the database until it was its turn. A server
    // on Windows cannot tell.
    await session`select set_config('client_connection_check_interval', ${String(BEAT_MS)}, false)`
      .catch((error) => log.debug("hold", { error: reason(error) }));
    await session`select pg_advisory_lock(${lock})`;
    if (lost.signal.aborted) throw new AppError("unavailable", "the session was lost meanwhile");
    return heldBy(session, lost, signal);
  } catch (error) {
    await session.end({ timeout: 0 });
    throw error;
  } finally {
    clearInterval(watching);
    signal.removeEventListener("abort", stop);
  }
}

function heldBy(session: Sql, lost: AbortController, signal: AbortSignal): Hold {
  let heardAt = performance.now();
  const isHeld = () => !lost.signal.aborted && performance.now() - heardAt < SILENT_MS;
  const beat = setInterval(() => {
    // Silent for too long is lost as well: the others may have taken over by now.
    if (!isHeld()) return lost.abort();
    const asked = performance.now();
    session`select 1`.then(() => heardAt = asked, () => lost.abort());
  }, BEAT_MS);
  return {
    sql: session,
    lost: AbortSignal.any([signal, lost.signal]),
    isHeld,
    async [Symbol.asyncDispose]() {
      clearInterval(beat);
      await session.end({ timeout: 0 });
    },
  };
}

type Silent = { pid: number; since: Date };

/**
 * A holder speaks every beat; its backend is idle for longer only if it is frozen. Seen twice before
 * it is ended: after a pause of the database's own, everybody has been silent.
 */
function watchHolder(sql: Sql, lock: number): () => Promise<void> {
  let seen: Silent | undefined;
  let looking = false;
  return async () => {
    if (looking) return;
    looking = true;
    try {
      const silent = await silentHolder(sql, lock);
      const again = silent?.pid === seen?.pid && silent?.since.getTime() === seen?.since.getTime();
      seen = silent;
      if (!silent || !again) return;
      await sql`select pg_terminate_backend(${silent.pid})`;
      log.warn("a silent follower was ended", { pid: silent.pid });
    } catch (error) {
      log.debug("hold", { error: reason(error) });
    } finally {
      looking = false;
    }
  };
}

async function silentHolder(sql: Sql, lock: number): Promise<Silent | undefined> {
  const [silent] = await sql<Silent[]>`
    select a.pid, a.state_change as since
    from pg_locks l join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.objid = ${lock} and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
      and a.state = 'idle'
      and a.state_change < clock_timestamp() - make_interval(secs => ${SILENT_MS / 1000})`;
  return silent;
}
