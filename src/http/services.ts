// The services that handlers use: src/services.ts opens them, every handler's context has them.
import type { KeyObject } from "node:crypto";
import type { InFlightWrites } from "../async/in_flight.ts";
import type { HitHistory } from "../cache/hit_history.ts";
import type { HitTotals } from "../cache/hit_totals.ts";
import type { ReadThroughCache } from "../cache/read_through.ts";
import type { Config } from "../config/config.ts";
import type { Sql } from "../connections/postgres.ts";
import type { RedisClient } from "../connections/redis.ts";
import type { Freshness } from "../freshness/freshness.ts";
import type { Leader } from "../leader/leader.ts";
import type { EventHub } from "../live/channels.ts";
import type { CacheReport } from "../observability/cache_report.ts";
import type { Metrics } from "../observability/metrics.ts";
import type { ProjectionSupervisor } from "../projector/supervisor.ts";
import type { Keyed } from "../security/secrets.ts";
import type { Sessions } from "../security/sessions.ts";
import type { Appender } from "../store/appender.ts";
import type { StreamCache } from "../store/stream_cache.ts";
import type { Visits } from "../visits/counter.ts";

export type Secrets = {
  /** Signs visitor cookies. */
  visitors: Keyed;
  email: string;
  signing: KeyObject;
  /** Proves to Nginx that a request to raise page versions comes from the service. */
  nginx: string;
};

export type Services = {
  config: Config;
  sql: Sql;
  embedded: boolean;
  appender: Appender;
  streams: StreamCache;
  cache: ReadThroughCache;
  hitTotals: HitTotals;
  /** Hit rates of the caches, at most a second old. */
  recentReport: () => Promise<CacheReport>;
  hitHistory: HitHistory;
  freshness: Freshness;
  leader: Leader;
  visits: Visits;
  live: EventHub;
  projectionSupervisor: ProjectionSupervisor;
  metrics: Metrics;
  secrets: Secrets;
  /** The digest of the admin token; read again periodically, because `deno task token` changes it. */
  adminDigest: () => Promise<string>;
  redis: RedisClient | undefined;
  sessions: Sessions;
  inFlightWrites: InFlightWrites;
};
