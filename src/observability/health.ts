// Health of the service: checks PostgreSQL, Redis and the read models, in bounded time.
import type { Sql } from "../connections/postgres.ts";
import type { RedisClient } from "../connections/redis.ts";
import { type ProjectionState, projectionStates } from "../projector/projector.ts";
import type { Health } from "../schemas/health.ts";
import { readHead, stillUnreadable } from "../store/read.ts";

export type HealthSources = {
  sql: Sql;
  redis: RedisClient | undefined;
  embedded: boolean;
  freshness: { visible: number };
};

const DATABASE_MS = 1500;

type Facts = { position: number; states: ProjectionState[]; unreadable: string[] };

async function askDatabase({ sql }: HealthSources): Promise<Facts | undefined> {
  const asked = (async () => {
    // Reads the head first: an event appended in between must not look like a lag.
    const { position } = await readHead(sql);
    const states = await projectionStates(sql);
    return { position, states, unreadable: await stillUnreadable(sql) };
  })();
  const late = new Promise<undefined>((done) => setTimeout(() => done(undefined), DATABASE_MS));
  return await Promise.race([asked.catch(() => undefined), late]);
}

export async function healthOf(sources: HealthSources): Promise<Health> {
  const { redis, embedded, freshness } = sources;
  const facts = await askDatabase(sources);
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
