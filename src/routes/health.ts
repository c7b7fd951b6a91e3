// Whether the service is well, for people, load balancers and Prometheus.
import { z } from "zod";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import type { Services } from "../services.ts";
import { type ProjectionState, projectionStates } from "../projector/projector.ts";
import { readHead, stillUnreadable } from "../store/read.ts";

const DATABASE_MS = 1500;

const state = z.object({
  name: z.string(),
  position: z.int(),
  lag: z.int(),
  error: z.string().nullable(),
});
const health = z.object({
  status: z.enum(["healthy", "degraded", "unhealthy"]),
  redis: z.enum(["ok", "down"]),
  postgres: z.enum(["ok", "down"]),
  cache: z.enum(["redis", "memory", "none"]).optional(),
  position: z.int().optional(),
  visible: z.int().optional(),
  projections: z.array(state).optional(),
  /** Streams whose text does not open with the key that is there. */
  unreadable: z.array(z.string()).optional(),
});

export type Health = z.infer<typeof health>;

type Facts = { position: number; states: ProjectionState[]; unreadable: string[] };

async function askDatabase({ sql }: Services): Promise<Facts | undefined> {
  const asked = (async () => {
    // The head first: what is appended in between must not look like a lag.
    const { position } = await readHead(sql);
    const states = await projectionStates(sql);
    return { position, states, unreadable: await stillUnreadable(sql) };
  })();
  const late = new Promise<undefined>((done) => setTimeout(() => done(undefined), DATABASE_MS));
  return await Promise.race([asked.catch(() => undefined), late]);
}

export async function healthOf(services: Services): Promise<Health> {
  const { redis, embedded, freshness } = services;
  const facts = await askDatabase(services);
  const redisOk = redis === undefined || redis.isAvailable;
  const projections = facts?.states.map(({ name, position, error }) => ({
    name,
    position,
    lag: Math.max(0, facts.position - position),
    error,
  }));
  const stopped = projections?.some(({ error, lag }) => error !== null || lag > 0);
  const unreadable = facts?.unreadable.length ? facts.unreadable : undefined;
  const impaired = stopped || !redisOk || unreadable !== undefined;
  const status = !facts ? "unhealthy" : impaired ? "degraded" : "healthy";
  return {
    status,
    redis: redisOk ? "ok" : "down",
    postgres: facts ? "ok" : "down",
    cache: redis ? "redis" : embedded ? "memory" : "none",
    position: facts?.position,
    visible: freshness.visible,
    projections,
    unreadable,
  };
}

const answers = {
  200: { description: "Well enough to serve", schema: health },
  503: { description: "Not able to serve", schema: health },
};

const live = z.object({ status: z.literal("alive") });

async function answerHealth(c: Context): Promise<Response> {
  const health = await healthOf(c.get("services"));
  c.header("Cache-Control", "no-store");
  return c.json(health, health.postgres === "ok" ? 200 : 503);
}

export const healthRoutes = [
  endpoint({
    method: "get",
    path: "/health",
    summary: "How the service and its parts are",
    tag: "health",
    replies: answers,
  }, answerHealth),

  endpoint({
    method: "get",
    path: "/health/live",
    summary: "Whether the process runs",
    tag: "health",
    replies: { 200: { description: "It does", schema: live } },
  }, (c) => {
    c.header("Cache-Control", "no-store");
    return c.json({ status: "alive" });
  }),

  endpoint({
    method: "get",
    path: "/health/ready",
    summary: "Whether requests may come",
    tag: "health",
    replies: answers,
  }, answerHealth),

  endpoint({
    method: "get",
    path: "/metrics",
    summary: "Figures for Prometheus",
    tag: "health",
    replies: { 200: { description: "Prometheus text", type: "text/plain" } },
  }, async (c) => {
    const { registry } = c.get("services").metrics;
    c.header("Cache-Control", "no-store");
    return c.body(await registry.metrics(), 200, { "content-type": registry.contentType });
  }),
];
