// Opens PostgreSQL, or the embedded one where DATABASE_URL is not set, behind the same client.
import postgres from "postgres";
import { arrayTypes } from "./array_types.ts";
import type { Config } from "../config/config.ts";
import { AppError } from "../errors.ts";
import { openEmbedded } from "./embedded.ts";

type Types = { bigint: number };
export type Sql = postgres.Sql<Types>;
export type Tx = postgres.TransactionSql<Types>;

// Names every type. By default the client queries the array types on each new connection, in a
// promise that nothing awaits: a connection lost meanwhile would end the process.
const known = {
  types: { bigint: { to: 20, from: [20], serialize: String, parse: Number }, ...arrayTypes },
  fetch_types: false,
};

export type Database = AsyncDisposable & {
  sql: Sql;
  embedded: boolean;
};

export type ConnectOptions = {
  /** Refuses to share an embedded database with a running service. */
  alone?: boolean;
  max?: number;
  /** Tasks may pause for long; the service must not hold the counter's lock while it is frozen. */
  patient?: boolean;
  name?: string;
};

export function connect(url: string, options: ConnectOptions = {}): Sql {
  // A commit is durable before any answer, whatever the server's own default is.
  const durable = { synchronous_commit: "on" as const };
  const limits = options.patient ? {} : {
    statement_timeout: 15_000,
    idle_in_transaction_session_timeout: 5_000,
  };
  return postgres(url, {
    max: options.max ?? 10,
    ...known,
    connect_timeout: 5,
    idle_timeout: 0,
    max_lifetime: null,
    onnotice: () => {},
    // Short: while the database is away each failed connection fails one waiting request.
    backoff: (tries: number) => Math.min(0.25, 0.05 * 2 ** tries),
    connection: { application_name: options.name ?? "tallybook", ...durable, ...limits },
  });
}

export async function openDatabase(
  config: Config,
  options: ConnectOptions = {},
): Promise<Database> {
  if (config.DATABASE_URL === undefined) {
    const embedded = await openEmbedded(config.DATA_DIR, { alone: options.alone });
    const sql = postgres({
      path: embedded.socket,
      host: embedded.socket,
      user: "postgres",
      database: "postgres",
      max: 4,
      ...known,
      onnotice: () => {},
    });
    return {
      sql,
      embedded: true,
      async [Symbol.asyncDispose]() {
        await sql.end({ timeout: 5 });
        await embedded[Symbol.asyncDispose]();
      },
    };
  }
  const sql = connect(config.DATABASE_URL, { max: config.POOL_SIZE, ...options });
  return {
    sql,
    embedded: false,
    [Symbol.asyncDispose]: () => sql.end({ timeout: 5 }),
  };
}

/**
 * A client with one connection, for state that a session holds; `lost` is called when that session
 * is gone. Not reserved from the pool: `reserve` never resolves where it must open a connection, a
 * reserved connection that died never answers, and releasing it gives a dead connection to the next
 * request. The caller must end it.
 */
export function ownSession(sql: Sql, lost: () => void): Sql {
  // As the library does for LISTEN: it accepts parsed options as they are.
  const options: unknown = { ...sql.options, max: 1, onclose: lost };
  return postgres(options as typeof known);
}

/** A transaction; losing its connection fails the transaction, and nothing else. */
export async function inTransaction<Result>(
  sql: Sql,
  work: (tx: Tx) => Promise<Result>,
  mode = "",
): Promise<Result> {
  const { promise: gone, reject: giveUp } = Promise.withResolvers<never>();
  const done: { result?: Result } = {};
  const session = { closed: false, giveUp };
  const begun = sql.begin(mode, async (tx) => {
    done.result = await unlessGone(() => work(tx), session);
  });
  begun.catch(() => session.closed = true);
  await Promise.race([begun, gone]);
  return done.result as Result;
}

export async function inSavepoint(tx: Tx, work: (inner: Tx) => Promise<void>): Promise<void> {
  await tx.savepoint((inner) => unlessGone(() => work(inner)));
}

const CLOSE_WITHIN_MS = 2000;

// The library rolls back after every failure. On a connection that is gone, the rollback ends the
// process; on one that was opened again meanwhile, it would end another caller's transaction. So
// the library never sees a failure that means "gone", nor a later one: the closing connection
// itself fails the transaction.
async function unlessGone<Result>(
  work: () => Promise<Result>,
  session?: { closed: boolean; giveUp: (error: unknown) => void },
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!isGone(error) && !session?.closed) throw error;
    setTimeout(() => session?.giveUp(error), CLOSE_WITHIN_MS);
    return await new Promise<never>(() => {});
  }
}

function isGone(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("severity" in error && error.severity === "FATAL") return true;
  return !("severity" in error) && isConnectionError(error);
}

// Connections lost or refused; 08 connection, 25P03 an idle transaction ended, 40 a deadlock, 53 no
// room or memory, 55000 no connections allowed, 57 cancelled, timed out or shutting down, 58 the disk.
const AWAY =
  /^(CONNECT|CONNECTION_|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|ENOENT|08|25P0[34]|40|53|55000|57|58)/;

/** Whether the error means that the database is away or unwell, not that it rejected a statement. */
export function isConnectionError(error: unknown): boolean {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : "";
  return typeof code === "string" && AWAY.test(code);
}

export function asUnavailable(error: unknown): unknown {
  if (!isConnectionError(error)) return error;
  // The host and the database's own message are for the log alone.
  return new AppError("unavailable", "the database is away", { retryAfter: 2 }, { cause: error });
}
