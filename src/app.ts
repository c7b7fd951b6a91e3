// The service as one function from request to response.
import { Hono } from "hono";
import { asUnavailable } from "./connections/postgres.ts";
import { AppError, reason, STATUS } from "./errors.ts";
import { rerenderForm } from "./http/form_errors.ts";
import { type Context, type Env, wantsHtml } from "./http/context.ts";
import { type Endpoint, type Handle, register } from "./http/endpoint.ts";
import { withPipeline } from "./http/pipeline.ts";
import { isAllowed } from "./http/access.ts";
import { RateLimit } from "./http/rate_limit.ts";
import { isForNginx } from "./http/nginx_cache.ts";
import { CachedRouter } from "./http/cached_router.ts";
import { INTERNAL, type Problem, problemHeaders, problemOf } from "./http/problem.ts";
import { log } from "./log.ts";
import { errorPage } from "./pages/error.tsx";
import { adminRoutes } from "./routes/admin.ts";
import { deskRoutes } from "./routes/admin_desk.ts";
import { assetRoutes } from "./routes/assets.ts";
import { documentRoutes } from "./routes/documents.ts";
import { embedRoutes } from "./routes/embed.ts";
import { guestbookRoutes } from "./routes/guestbook.ts";
import { healthRoutes } from "./routes/health.ts";
import { itemsRoutes } from "./routes/items.ts";
import { liveRoutes } from "./routes/live.ts";
import { logRoutes } from "./routes/log.ts";
import { pollsRoutes } from "./routes/polls.ts";
import { usersRoutes } from "./routes/users.ts";
import { visitsRoutes } from "./routes/visits.ts";
import type { Services } from "./http/services.ts";

const subjects: Endpoint[] = [
  ...healthRoutes,
  ...liveRoutes,
  ...guestbookRoutes,
  ...usersRoutes,
  ...itemsRoutes,
  ...pollsRoutes,
  ...visitsRoutes,
  ...logRoutes,
  ...adminRoutes,
  ...deskRoutes,
  ...embedRoutes,
];

export const endpoints: Endpoint[] = [...subjects, ...documentRoutes(subjects)];

export function createApp(services: Services): Hono<Env> {
  const app = new Hono<Env>({ router: new CachedRouter() });
  const frame = { services, limits: new RateLimit(), failed };
  const inFrame = (handle: Handle) => withPipeline(frame, handle);
  assetRoutes(app, inFrame);
  for (const [path, found] of paths) {
    register(app, path, { endpoints: found, inFrame, elsewhere: notFoundOrNotAllowed });
  }
  app.notFound(inFrame(notFoundOrNotAllowed));
  app.onError((error, c) => failed(c, error));
  return app;
}

const paths = Map.groupBy(endpoints, ({ spec }) => spec.path);
const patterns = [...paths].map(([path, found]) => ({
  pattern: new RegExp(
    `^${path.replaceAll(".", "\\.").replaceAll(":id", "\\d+").replaceAll(/:\w+/g, "[^/]+")}$`,
  ),
  methods: allowOf(found),
}));

function allowOf(found: Endpoint[]): string[] {
  const methods = found.map(({ spec }) => spec.method.toUpperCase());
  return [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
}

function allowedAt(path: string): string[] {
  return patterns.find(({ pattern }) => pattern.test(path))?.methods ?? [];
}

/** Answers 404 for an unknown path, 405 for a path that does not support the method. */
function notFoundOrNotAllowed(c: Context): Response {
  const allow = allowedAt(c.req.path);
  if (allow.length === 0) throw new AppError("not_found", `no such address: ${c.req.path}`);
  if (c.req.method === "OPTIONS") return preflight(c, allow);
  throw new AppError("not_allowed", `${c.req.method} is not supported here`, { allow });
}

function preflight(c: Context, methods: string[]): Response {
  c.header("Allow", methods.join(", "));
  const origin = c.req.header("origin");
  if (c.req.header("access-control-request-method")) {
    const known = origin !== undefined && isAllowed(c, origin);
    c.header("Access-Control-Allow-Methods", (known ? methods : ["GET", "HEAD"]).join(", "));
    c.header(
      "Access-Control-Allow-Headers",
      "Content-Type, Authorization, Idempotency-Key, If-Match",
    );
    c.header("Access-Control-Max-Age", "86400");
  }
  return c.body(null, 204);
}

async function problem(c: Context, error: AppError): Promise<Response> {
  // Nginx may serve this answer to everybody: it must not carry the id of one request.
  const facts = problemOf(error, isForNginx(c) ? undefined : c.get("requestId"));
  const form = await rerenderForm(c, error, facts);
  if (form === undefined) return shown(c, facts, problemHeaders(error));
  return c.html(form, facts.status as 400, problemHeaders(error));
}

function shown(c: Context, facts: Problem, headers: Record<string, string>): Response {
  const status = facts.status as 400;
  if (wantsHtml(c)) return c.html(errorPage(c, facts), status, headers);
  return c.body(JSON.stringify(facts), status, {
    ...headers,
    "content-type": "application/problem+json",
  });
}

async function failed(c: Context, thrown: unknown): Promise<Response> {
  const error = asUnavailable(thrown);
  if (error instanceof AppError) {
    if (STATUS[error.code] >= 500) log.warn("request.refused", facts(c, error));
    return await problem(c, error);
  }
  c.get("services").metrics.unhandled.inc();
  log.error("request.failed", {
    ...facts(c, error),
    stack: error instanceof Error ? error.stack : "",
  });
  return shown(c, { ...INTERNAL, request_id: c.get("requestId") }, { "cache-control": "no-store" });
}

function facts(c: Context, error: unknown) {
  return { request: c.get("requestId"), path: c.req.path, error: reason(error) };
}
