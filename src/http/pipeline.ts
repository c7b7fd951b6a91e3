// What surrounds every request: who asks, what they may, in what time, and what every answer says.
// One frame around one handler, not a chain of small ones: on the hot path each costs a turn.
import { bodyLimit } from "hono/body-limit";
import { withTimeout } from "../async/deadline.ts";
import { AppError } from "../errors.ts";
import { log } from "../log.ts";
import type { Services } from "./services.ts";
import { arriving } from "./body.ts";
import { conditional } from "./etag.ts";
import { type Context, wantsHtml } from "./context.ts";
import { checkOrigin, clientOf, isAdmin, isAllowed, isWrite, SHARED } from "./access.ts";
import type { Handle } from "./endpoint.ts";
import type { RateLimit } from "./rate_limit.ts";
import { allowNginxToStore, isForNginx } from "./nginx_cache.ts";
import { isHtml, securityHeaders } from "./security_headers.ts";
import { applyHeaders, setHeader } from "./response_headers.ts";
import { countView } from "./views.ts";
import { readVisitor } from "./visitor_cookie.ts";

export const MAX_BODY = 64 * 1024;

export type Pipeline = {
  services: Services;
  limits: RateLimit;
  /** An answer in place of one that could not be had. */
  failed: (c: Context, error: unknown) => Promise<Response>;
};

export function withPipeline({ services, limits, failed }: Pipeline, handle: Handle): Handle {
  return async (c) => {
    const started = performance.now();
    c.set("services", services);
    c.set("limits", limits);
    c.set("requestId", requestIdOf(c));
    c.set("client", clientOf(c, c.env?.peer ?? "unknown"));
    const isWriting = isWrite(c);
    if (isWriting) services.openWrites.enter();
    let response: Response;
    try {
      shareReads(c);
      checkOrigin(c);
      c.set("visitor", isForNginx(c) ? undefined : readVisitor(c));
      const admin = isAdmin(c);
      c.set("admin", typeof admin === "boolean" ? admin : await admin);
      if (isWriting && services.config.RATE_LIMIT) {
        limits.takeWrite(c.get("client"), (name, value) => setHeader(c, name, value));
      }
      response = await withDeadline(c, isWriting ? limited(c, handle) : handle(c));
    } catch (error) {
      response = await failed(c, error);
    } finally {
      if (isWriting) services.openWrites.leave();
    }
    if (c.get("finished") !== response) response = await finish(c, response);
    allowNginxToStore(c, response);
    countView(c, response);
    observe(c, response, started);
    return response;
  };
}

/** What a handler did not say by itself. */
async function finish(c: Context, response: Response): Promise<Response> {
  applyHeaders(c, response);
  response.headers.set("X-Request-Id", c.get("requestId"));
  response.headers.set("X-Content-Type-Options", "nosniff");
  for (const [name, value] of Object.entries(SHARED)) {
    if (!response.headers.has(name)) response.headers.set(name, value);
  }
  if (!isWrite(c)) response.headers.append("Vary", "Origin");
  if (wantsHtml(c) || isHtml(response)) securityHeaders(c, response);
  return await conditional(c, response);
}

const READ_MS = 4000;
const WRITE_MS = 9000;

/** Nobody is left waiting for parts that do not answer; a stale copy beats a page that hangs. */
function withDeadline(
  c: Context,
  work: Response | Promise<Response>,
): Response | Promise<Response> {
  if (!(work instanceof Promise)) return work;
  // Its owner waits for a whole log to be verified.
  if (c.req.path.startsWith("/admin/")) return work;
  const isWriting = isWrite(c);
  return withTimeout(isWriting ? WRITE_MS : READ_MS, work, () => {
    const message = isWriting
      ? "no answer in time: whether it was taken is not known, repeat it with its Idempotency-Key"
      : "no answer in time";
    return new AppError("unavailable", message, { retryAfter: 2 });
  });
}

const tooLarge = () => new AppError("too_large", `the body is larger than ${MAX_BODY} bytes`);

const counted = bodyLimit({
  maxSize: MAX_BODY,
  onError: () => {
    throw tooLarge();
  },
});

/** A body that says how long it is need not be counted; any other is, before it is looked at. */
function limited(c: Context, handle: Handle): Response | Promise<Response> {
  const length = c.req.header("content-length");
  if (length === undefined || c.req.header("transfer-encoding") !== undefined) {
    return arriving(counted(c, () => Promise.resolve())).then(() => handle(c));
  }
  if (!(Number(length) <= MAX_BODY)) throw tooLarge();
  return handle(c);
}

function requestIdOf(c: Context): string {
  const given = c.req.header("x-request-id");
  return given && /^[\w.-]{8,64}$/.test(given) ? given : crypto.randomUUID();
}

/** Anybody's page may read what is public; only ours and those named may write. */
function shareReads(c: Context): void {
  const origin = c.req.header("origin");
  if (origin === undefined || !isAllowed(c, origin)) return;
  setHeader(c, "Access-Control-Allow-Origin", origin);
  setHeader(c, "Access-Control-Allow-Credentials", "true");
}

/** What others make up would be a figure of its own each, kept for ever. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

function observe(c: Context, { status }: Response, started: number): void {
  const seconds = (performance.now() - started) / 1000;
  const route = c.get("route") ?? "other";
  const method = METHODS.includes(c.req.method) ? c.req.method : "other";
  c.get("services").metrics.requests.observe({ method, route, status: String(status) }, seconds);
  if (!log.isDebugging) return;
  const ms = Math.round(seconds * 1000);
  log.debug("request.done", { request: c.get("requestId"), method, route, status, ms });
}
