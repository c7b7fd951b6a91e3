// Every write goes this way: read the streams, decide, append, and answer once it is visible.
// A decision that was overtaken is taken again on what is there now.
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

/** The events that the answer is built from: of this request, or of the one it repeats. */
export type Written = {
  events: Recorded[];
  position: number;
  replayed: boolean;
  /** Of this request's own commit: see Freshness.committed(). */
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
    // A refusal tells its reader what others wrote: "closed" must show on the next page.
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

/** Whether it rests on what is in the log, not on the request alone or on what could not be reached. */
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

/** A stream kept in memory may be behind: what it would refuse or leave be is looked at again. */
async function decideFresh(
  streams: StreamCache,
  decide: (read: ReadStream) => Promise<Decision> | Decision,
): Promise<Decision> {
  const kept = new Set<string>();
  const read: ReadStream = (stream) => {
    if (streams.has(stream)) kept.add(stream);
    return streams.read(stream);
  };
  try {
    const decision = await decide(read);
    if (decision.streams.length > 0 || kept.size === 0) return decision;
  } catch (error) {
    if (kept.size === 0) throw error;
  }
  for (const stream of kept) streams.invalidate(stream);
  return await decide(streams.read);
}

function isVersionConflict(error: unknown): error is AppError {
  return error instanceof AppError && error.detail.actual !== undefined;
}

function tooBusy(error: AppError): AppError {
  return new AppError("unavailable", `too many at once: ${error.message}`, { retryAfter: 1 });
}

/** A refusal may be the work of this very request's twin, which went in a moment before. */
async function orConcurrentDuplicate(
  c: Context,
  error: unknown,
  idempotency: Idempotency | undefined,
): Promise<Written> {
  const twin = idempotency && await findRepeat(c, idempotency);
  if (twin) return twin;
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
  // Neither the key nor the caller is written down as it is: whoever has a first request's key can
  // be its visitor again, and one caller in two places would tie a vote to an entry.
  const hidden = c.get("services").secrets.visitors;
  return {
    scope: `POST ${c.req.path} ${hidden(`caller ${c.req.path} ${callerOf(c, key)}`)}`,
    key: hidden(`key ${key}`),
    fingerprint: hidden(`${c.req.header("content-type") ?? ""}\n${c.get("body").text}`),
  };
}
