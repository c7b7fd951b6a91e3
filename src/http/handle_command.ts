// The path of every write: read the streams, decide, append, and answer once the write is visible.
// After a version conflict the command decides again on the current state.
import type { Recorded } from "$events/mod.ts";
import type { Decision } from "../commands/decision.ts";
import { AppError, type Code } from "../errors.ts";
import type { Context } from "./context.ts";
import { setHeader } from "./response_headers.ts";
import { callerOf } from "./visitor_cookie.ts";
import type { Idempotency } from "../store/appender.ts";
import { findAnswer } from "../store/idempotency.ts";
import { readEvents, readHead } from "../store/read.ts";
import type { StreamCache } from "../store/stream_cache.ts";

export type ReadStream = (stream: string) => Promise<Recorded[]>;

/** The events that the answer is built from: this request's, or those of the request it repeats. */
export type Written = {
  events: Recorded[];
  position: number;
  replayed: boolean;
  /** The invalidation that this request's commit started: see Freshness.committed(). */
  invalidated?: Promise<boolean>;
};

const MAX_TRIES = 50;

export async function handleCommand(
  c: Context,
  decide: (read: ReadStream) => Promise<Decision> | Decision,
): Promise<Written> {
  const idempotency = idempotencyOf(c);
  const { freshness, config } = c.get("services");
  const earlier = idempotency && await findRepeat(c, idempotency);
  const written = earlier ?? await attempt(c, decide, idempotency).catch(async (error) => {
    // A refusal reveals what others wrote: after "closed", the next page must show the poll as closed.
    if (isDecision(error)) sayVisible(c, await freshness.waitForHead(config.VISIBLE_WAIT_MS));
    throw error;
  });
  const { position, invalidated, replayed } = written;
  sayVisible(c, await freshness.waitFor(position, config.VISIBLE_WAIT_MS, invalidated));
  setHeader(c, "Tallybook-Position", String(position));
  if (replayed) setHeader(c, "Idempotency-Replayed", "true");
  return written;
}

function sayVisible(c: Context, visible: boolean): void {
  if (visible) return;
  c.get("services").metrics.pending.inc();
  setHeader(c, "Tallybook-Visible", "pending");
}

const DECISIONS: Code[] = ["forbidden", "not_found", "conflict", "gone", "stale"];

/** Whether the error depends on the state in the log, not on the request alone or on an outage. */
function isDecision(error: unknown): boolean {
  return error instanceof AppError && DECISIONS.includes(error.code);
}

async function attempt(
  c: Context,
  decide: (read: ReadStream) => Promise<Decision> | Decision,
  idempotency: Idempotency | undefined,
): Promise<Written> {
  const services = c.get("services");
  for (let tries = 1;; tries++) {
    try {
      const decision = await decideFresh(services.streams, decide);
      if (decision.streams.length === 0 && !idempotency) {
        const { position } = await readHead(services.sql);
        return { events: [], position, replayed: false };
      }
      const meta = {
        request: c.get("requestId"),
        actor: c.get("admin") ? "admin" : "visitor",
      } as const;
      const key = idempotency ? { key: idempotency.key } : {};
      const { events, last, replayed, invalidated } = await services.appender.append({
        ...decision,
        meta: { ...meta, ...key },
        idempotency,
      });
      for (const { stream } of decision.streams) services.streams.invalidate(stream);
      return { events, position: last, replayed, invalidated };
    } catch (error) {
      if (!isVersionConflict(error)) return await orConcurrentDuplicate(c, error, idempotency);
      services.streams.invalidate(error.detail.stream ?? "");
      if (tries === MAX_TRIES) throw tooBusy(error);
    }
  }
}

/**
 * A cached stream may be behind the log. An append finds that out by its version; a refusal or "no
 * change" does not, so it is decided again on fresh streams.
 */
async function decideFresh(
  streams: StreamCache,
  decide: (read: ReadStream) => Promise<Decision> | Decision,
): Promise<Decision> {
  const cached = new Set<string>();
  const read: ReadStream = (stream) => {
    if (streams.has(stream)) cached.add(stream);
    return streams.read(stream);
  };
  try {
    const decision = await decide(read);
    if (decision.streams.length > 0 || cached.size === 0) return decision;
  } catch (error) {
    if (cached.size === 0) throw error;
  }
  for (const stream of cached) streams.invalidate(stream);
  return await decide(streams.read);
}

function isVersionConflict(error: unknown): error is AppError {
  return error instanceof AppError && error.detail.actual !== undefined;
}

function tooBusy(error: AppError): AppError {
  return new AppError("unavailable", `too many concurrent writes: ${error.message}`, {
    retryAfter: 1,
  });
}

/** A concurrent request with the same Idempotency-Key may have caused the conflict: returns its answer. */
async function orConcurrentDuplicate(
  c: Context,
  error: unknown,
  idempotency: Idempotency | undefined,
): Promise<Written> {
  const duplicate = idempotency && await findRepeat(c, idempotency);
  if (duplicate) return duplicate;
  throw error;
}

async function findRepeat(c: Context, asked: Idempotency): Promise<Written | undefined> {
  const { sql } = c.get("services");
  const known = await findAnswer(sql, asked);
  if (!known) return undefined;
  const events = await readEvents(sql, { after: known.first - 1, until: known.last });
  return { events, position: known.last, replayed: true };
}

function idempotencyOf(c: Context): Idempotency | undefined {
  const key = c.req.header("idempotency-key");
  if (key === undefined || c.req.method !== "POST") return undefined;
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    throw new AppError("malformed", "Idempotency-Key: 1 to 255 visible ASCII characters");
  }
  // The log holds only MACs of the key and the caller: with a first request's key one could become its
  // visitor, and the same caller at two paths would link a vote to an entry.
  const hidden = c.get("services").secrets.visitors;
  return {
    scope: `POST ${c.req.path} ${hidden(`caller ${c.req.path} ${callerOf(c, key)}`)}`,
    key: hidden(`key ${key}`),
    fingerprint: hidden(`${c.req.header("content-type") ?? ""}\n${c.get("body").text}`),
  };
}
