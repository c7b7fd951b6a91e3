// The service as one function from request to response.
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { asUnavailable } from "./database.ts";
import { AppError, reason, STATUS } from "./errors.ts";
import { formAgain } from "./http/again.ts";
import { type Context, type Env, wantsHtml } from "./http/context.ts";
import { conditional } from "./http/conditional.ts";
import { markCopy } from "./http/copies.ts";
import { type Endpoint, register, routeOf } from "./http/endpoint.ts";
import { checkOrigin, clientOf, isAdmin, isAllowed, isWrite } from "./http/guards.ts";
import { Limits } from "./http/limits.ts";
import { INTERNAL, type Problem, problemHeaders, problemOf } from "./http/problem.ts";
import { countView } from "./http/views.ts";
import { readVisitor } from "./http/visitor.ts";
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
import type { Services } from "./services.ts";

export const MAX_BODY = 64 * 1024;

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

const tooLarge = bodyLimit({
  maxSize: MAX_BODY,
  onError: () => {
    throw new AppError("too_large", `the body is larger than ${MAX_BODY} bytes`);
  },
});

// One frame around every request, not a chain of small ones: on the hot path each costs a turn.
export function createApp(services: Services): Hono<Env> {
  const app = new Hono<Env>();
  const limits = new Limits();

  app.use(async (c, next) => {
    const started = performance.now();
    c.set("services", services);
    c.set("limits", limits);
    c.set("requestId", requestIdOf(c));
    c.set("client", clientOf(c, c.env?.peer ?? "unknown"));
    c.header("X-Request-Id", c.var.requestId);
    c.header("X-Content-Type-Options", "nosniff");
    if (wantsHtml(c)) guardPage(c);
    const preflight = await shareReads(c);
    if (preflight) return preflight;
    checkOrigin(c);
    c.set("visitor", readVisitor(c));
    c.set("admin", await isAdmin(c, limits));
    if (isWrite(c)) {
      if (services.config.RATE_LIMIT) limits.takeWrite(c);
      await inTime(c, () => tooLarge(c, next));
    } else await inTime(c, next);
    if (c.res.headers.get("content-type")?.startsWith("text/html")) guardPage(c);
    markCopy(c);
    countView(c);
    await conditional(c);
    observe(c, started);
  });
  assetRoutes(app);
  for (const [path, found] of paths) register(app, path, found);
  refuseOtherMethods(app);
  app.notFound((c) => problem(c, new AppError("not_found", `no such address: ${c.req.path}`)));
  app.onError((error, c) => failed(c, error));
  return app;
}

const POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors";

/** Only what is made for it may be framed, and only by the sites that are named. */
function guardPage(c: Context): void {
  const framers = c.req.path.startsWith("/embed/") ? c.var.services.config.EMBED_ORIGINS : [];
  const origins = framers.map((url) => new URL(url).origin);
  c.header("Content-Security-Policy", `${POLICY} ${origins.join(" ") || "'none'"}`);
  if (origins.length === 0) c.header("X-Frame-Options", "DENY");
  c.header("Referrer-Policy", "strict-origin-when-cross-origin");
  c.header("Cross-Origin-Opener-Policy", "same-origin");
}

const READ_MS = 4000;
const WRITE_MS = 9000;

/** Nobody is left waiting for parts that do not answer; a stale copy beats a page that hangs. */
async function inTime(c: Context, next: () => Promise<unknown>): Promise<void> {
  // Its owner waits for a whole log to be verified.
  if (c.req.path.startsWith("/admin/")) return void await next();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, refuse) => {
    timer = setTimeout(() => {
      const message = isWrite(c)
        ? "no answer in time: whether it was taken is not known, repeat it with its Idempotency-Key"
        : "no answer in time";
      refuse(new AppError("unavailable", message, { retryAfter: 2 }));
    }, isWrite(c) ? WRITE_MS : READ_MS);
  });
  try {
    await Promise.race([next(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function requestIdOf(c: Context): string {
  const given = c.req.header("x-request-id");
  return given && /^[\w-]{8,64}$/.test(given) ? given : crypto.randomUUID();
}

/** Anybody's page may read what is public; only ours and those named may write. */
async function shareReads(c: Context): Promise<Response | undefined> {
  const origin = c.req.header("origin");
  const known = origin !== undefined && isAllowed(c, origin);
  c.header("Access-Control-Allow-Origin", known ? origin : "*");
  c.header("Access-Control-Expose-Headers", EXPOSED);
  if (known) {
    c.header("Access-Control-Allow-Credentials", "true");
    c.header("Vary", "Origin", { append: true });
  }
  if (c.req.method !== "OPTIONS") return undefined;
  const methods = allowedAt(c.req.path);
  if (methods.length === 0) return await problem(c, new AppError("not_found", "no such address"));
  c.header("Allow", methods.join(", "));
  if (c.req.header("access-control-request-method")) {
    c.header("Access-Control-Allow-Methods", (known ? methods : ["GET", "HEAD"]).join(", "));
    c.header(
      "Access-Control-Allow-Headers",
      "Content-Type, Authorization, Idempotency-Key, If-Match",
    );
    c.header("Access-Control-Max-Age", "86400");
  }
  return c.body(null, 204);
}

const EXPOSED = "ETag, Link, Location, Tallybook-Position, Tallybook-Visible, Retry-After";

const paths = Map.groupBy(endpoints, ({ spec }) => spec.path);
const patterns = [...paths].map(([path, found]) => ({
  path,
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

function refuseOtherMethods(app: Hono<Env>): void {
  for (const { path, methods: allow } of patterns) {
    app.all(routeOf(path), (c) => {
      const message = `${c.req.method} is not for this address`;
      return problem(c, new AppError("not_allowed", message, { allow }));
    });
  }
}

async function problem(c: Context, error: AppError): Promise<Response> {
  const facts = problemOf(error, c.var.requestId);
  const form = await formAgain(c, error, facts);
  if (form === undefined) return shown(c, facts, problemHeaders(error));
  guardPage(c);
  return c.html(form, facts.status as 400, problemHeaders(error));
}

function shown(c: Context, facts: Problem, headers: Record<string, string>): Response {
  const status = facts.status as 400;
  if (wantsHtml(c)) {
    guardPage(c);
    return c.html(errorPage(c, facts), status, headers);
  }
  return c.body(JSON.stringify(facts), status, {
    ...headers,
    "content-type": "application/problem+json",
  });
}

async function failed(c: Context, thrown: unknown): Promise<Response> {
  const error = asUnavailable(thrown);
  if (error instanceof AppError) {
    if (STATUS[error.code] >= 500) log.warn("refused", facts(c, error));
    return await problem(c, error);
  }
  c.var.services.metrics.unhandled.inc();
  log.error("failed", { ...facts(c, error), stack: error instanceof Error ? error.stack : "" });
  return shown(c, { ...INTERNAL, request_id: c.var.requestId }, { "cache-control": "no-store" });
}

function facts(c: Context, error: unknown) {
  const cause = error instanceof Error && error.cause !== undefined
    ? { cause: reason(error.cause) }
    : {};
  return { request: c.var.requestId, path: c.req.path, error: reason(error), ...cause };
}

function observe(c: Context, started: number): void {
  const seconds = (performance.now() - started) / 1000;
  const route = c.var.route ?? "other";
  c.var.services.metrics.requests.observe(
    { method: c.req.method, route, status: String(c.res.status) },
    seconds,
  );
  log.debug("request", {
    request: c.var.requestId,
    method: c.req.method,
    route,
    status: c.res.status,
    ms: Math.round(seconds * 1000),
  });
}
