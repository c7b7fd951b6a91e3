// The figures that are read when /metrics is scraped: lag, hits, connections, leadership.
import { reason } from "../errors.ts";
import { log } from "../log.ts";
import type { Config } from "../config/config.ts";
import type { Sql } from "../connections/postgres.ts";
import type { RedisClient } from "../connections/redis.ts";
import type { Metrics, Sample } from "./metrics.ts";
import { projectionStates } from "../projector/projector.ts";
import { readHead, stillUnreadable } from "../store/read.ts";

const DATABASE_MS = 1000;

export type GaugeSources = {
  metrics: Metrics;
  freshness: { visible: number };
  leader: { isLeader: boolean };
  redis: RedisClient | undefined;
  appender: { waiting: number };
  config: Config;
  sql: Sql;
};

export function registerGauges(sources: GaugeSources): void {
  const { metrics, freshness, leader, redis, appender, config, sql } = sources;
  const gauge = (name: string, help: string, read: () => number) =>
    metrics.gauge({ name, help }, () => [{ value: read() }]);

  gauge("tallybook_visible_position", "Position that every read sees", () => freshness.visible);
  gauge(
    "tallybook_leader",
    "1 where this process is the leader",
    () => Number(leader.isLeader),
  );
  gauge("tallybook_append_queue", "Appends that wait for a batch", () => appender.waiting);
  gauge(
    "tallybook_redis_up",
    "1 while Redis is available, or not configured",
    () => Number(redis?.isAvailable ?? true),
  );
  gauge(
    "tallybook_redis_openings",
    "How often the circuit breaker of Redis has opened",
    () => redis?.breakerTrips ?? 0,
  );
  gauge("tallybook_pool_size", "Connections that this process may open", () => config.POOL_SIZE);

  metrics.gauge({
    name: "tallybook_projection_lag",
    help: "Positions that a read model is behind the log",
    labelNames: ["projection"],
  }, () =>
    fromDatabase(async () => {
      const states = await projectionStates(sql);
      const { position: head } = await readHead(sql);
      return states.map(({ name, position }) => ({
        labels: { projection: name },
        value: Math.max(0, head - position),
      }));
    }));

  metrics.gauge(
    {
      name: "tallybook_unreadable_subjects",
      help: "Subjects whose personal text did not decrypt with its key",
    },
    () => fromDatabase(async () => [{ value: (await stillUnreadable(sql)).length }]),
  );

  metrics.gauge({
    name: "tallybook_pool_connections",
    help: "Connections that the service's role has open, all replicas together, by state",
    labelNames: ["state"],
  }, () =>
    fromDatabase(async () => {
      const rows = await sql<{ state: string; value: number }[]>`
        select coalesce(state, 'unknown') as state, count(*) as value from pg_stat_activity
        where usename = current_user and datname = current_database() group by 1`;
      return rows.map(({ state, value }) => ({ labels: { state }, value }));
    }));
}

/** A database that is away leaves out its own figures, not the others. */
async function fromDatabase(read: () => Promise<Sample[]>): Promise<Sample[]> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Sample[]>((done) => timer = setTimeout(() => done([]), DATABASE_MS));
  try {
    return await Promise.race([read(), late]);
  } catch (error) {
    log.debug("metrics.query_failed", { error: reason(error) });
    return [];
  } finally {
    clearTimeout(timer);
  }
}
