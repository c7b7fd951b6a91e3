// Health and metrics, for people, load balancers and Prometheus.
import { z } from "zod";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { healthOf } from "../observability/health.ts";
import { healthSchema } from "../schemas/health.ts";

const answers = {
  200: { description: "Able to serve requests", schema: healthSchema },
  503: { description: "Not able to serve requests", schema: healthSchema },
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
    summary: "The health of the service and its dependencies",
    tag: "health",
    replies: answers,
  }, answerHealth),

  endpoint({
    method: "get",
    path: "/health/live",
    summary: "Whether the process runs",
    tag: "health",
    replies: { 200: { description: "The process runs", schema: live } },
  }, (c) => {
    c.header("Cache-Control", "no-store");
    return c.json({ status: "alive" });
  }),

  endpoint({
    method: "get",
    path: "/health/ready",
    summary: "Whether the service is ready for requests",
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
