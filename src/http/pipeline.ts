// Surrounds every handler: client and admin identity, origin check, rate limit, deadline, headers and
// metrics. One function, not a chain of middleware: on the hot path each link costs a microtask turn.
import { bodyLimit } from "hono/body-limit";
import { withTimeout } from "../async/deadline.ts";
import { AppError } from "../errors.ts";
import { log } from "../log.ts";
import type { Services } from "./services.ts";
import { arriving } from "./body.ts";
import { conditional } from "./etag.ts";
import { type Context, wantsHtml } from "./context.ts";
import { checkHost, checkOrigin, clientOf, isAdmin, isAllowed, isWrite, SHARED } from "./access.ts";
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
  /** Makes the response for an error that the handler threw. */
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
    if (isWriting) services.inFlightWrites.enter();
    let response: Response;
    try {
      checkHost(c);
      shareReads(c);
      checkOrigin(c);
      const isShared = isForNginx(c);
      c.set("visitor", isShared ? undefined : readVisitor(c));
      const admin = !isShared && isAdmin(c);
      c.set("admin", typeof admin === "boolean" ? admin : await admin);
      if (isWriting && services.config.RATE_LIMIT) {
        limits.takeWrite(c.get("client"), (name, value) => setHeader(c, name, value));
      }
      response = await withDeadline(c, isWriting ? limited(c, handle) : handle(c));
    } catch (error) {
      response = await failed(c, error);
    } finally {
      if (isWriting) services.inFlightWrites.leave();
    }
    if (c.get("finished") !== response) response = await finish(c, response);
    allowNginxToStore(c, response);
    countView(c, response);
    observe(c, response, started);
    return response;
  };
}

/** Adds the headers that the handler did not set. */
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

/** Answers 503 if a dependency hangs; for a read, Nginx can then serve a stale copy. */
function withDeadline(
  c: Context,
  work: Response | Promise<Response>,
): Response | Promise<Response> {
  if (!(work instanceof Promise)) return work;
  // Verifying a whole log may take minutes.
  if (c.req.path.startsWith("/admin/")) return work;
  const isWriting = isWrite(c);
  return withTimeout(isWriting ? WRITE_MS : READ_MS, work, () => {
    const message = isWriting
      ? "timed out: the write may have been applied; repeat it with the same Idempotency-Key"
      : "timed out";
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

/** Checks Content-Length where there is one; counts the bytes of any other body before the handler. */
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

/** Every site may read public answers; only our own pages and CORS_ORIGINS may send credentials. */
function shareReads(c: Context): void {
  const origin = c.req.header("origin");
  if (origin === undefined || !isAllowed(c, origin)) return;
  setHeader(c, "Access-Control-Allow-Origin", origin);
  setHeader(c, "Access-Control-Allow-Credentials", "true");
}

// A made-up method would create a time series of its own, which is kept for ever.
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
