// Opens everything a request works with, and closes it, in one place.
import { projections } from "$projections/mod.ts";
import { AccessLog } from "./visits/access_log.ts";
import { ReadThroughCache } from "./cache/read_through.ts";
import { HitTotals } from "./cache/hit_totals.ts";
import { HitHistory } from "./cache/hit_history.ts";
import { RedisClient } from "./connections/redis.ts";
import { MemoryCache } from "./cache/memory.ts";
import { NullCache } from "./cache/none.ts";
import { RedisCache } from "./cache/redis.ts";
import type { CacheBackend } from "./cache/backend.ts";
import type { Config } from "./config/config.ts";
import type { Database } from "./connections/postgres.ts";
import { deadlines } from "./leader/close_due_polls.ts";
import { reason } from "./errors.ts";
import { Freshness } from "./freshness/freshness.ts";
import { NginxVersions } from "./freshness/nginx_versions.ts";
import { InFlightWrites } from "./async/in_flight.ts";
import type { Secrets, Services } from "./http/services.ts";
import { Leader } from "./leader/leader.ts";
import { log } from "./log.ts";
import { EventHub } from "./live/channels.ts";
import { Metrics } from "./observability/metrics.ts";
import { ProjectionSupervisor } from "./projector/supervisor.ts";
import { registerGauges } from "./observability/gauges.ts";
import { liveHook } from "./projector/projector.ts";
import {
  adminTokenDigest,
  keyed,
  randomSecret,
  shared,
  signingKeyText,
} from "./security/secrets.ts";
import { Appender } from "./store/appender.ts";
import { parseSigningKey } from "./store/signed_head.ts";
import { type CacheReport, cacheReport } from "./observability/cache_report.ts";
import { Sessions } from "./security/sessions.ts";
import { HighWaterMarks } from "./visits/high_water_marks.ts";
import { AppendSignal } from "./store/subscribe.ts";
import { StreamCache } from "./store/stream_cache.ts";
import { Visits } from "./visits/counter.ts";
import { webhook } from "./leader/webhook.ts";

export type OpenServices = Services & AsyncDisposable;

const ADMIN_DIGEST_MS = 2000;
const REPORT_MS = 1000;

export async function openServices(config: Config, database: Database): Promise<OpenServices> {
  const { sql, embedded } = database;
  await using opened = new AsyncDisposableStack();
  const cookieSecret = config.COOKIE_SECRET ?? await shared(sql, "cookie_secret", randomSecret);
  const secrets: Secrets = {
    visitors: keyed(cookieSecret),
    email: await shared(sql, "email_key", randomSecret),
    signing: parseSigningKey(await signingKeyText(config)),
    nginx: config.NGINX_SECRET ?? await shared(sql, "nginx_secret", randomSecret),
  };
  const metrics = new Metrics();
  const wakeups = opened.use(new AppendSignal());
  const redis = config.REDIS_URL ? new RedisClient(config.REDIS_URL) : undefined;
  const backend = opened.use(cacheBackendOf(config, { redis, embedded, secret: cookieSecret }));
  const cache = new ReadThroughCache(sql, backend);
  const hitHistory = opened.use(new HitHistory(cache, redis));
  const live = new EventHub(sql, wakeups, metrics);
  const appender: Appender = new Appender(sql, {
    hook: liveHook(projections),
    onCommit: (events) => {
      const invalidated = freshness.committed(events);
      wakeups.wake();
      return invalidated;
    },
    onUnknown: wakeups.wake,
    onError: (error) => log.error("append.hook_failed", { error: reason(error) }),
    onBatch: ({ appends, events, seconds }) => {
      metrics.appends.inc(appends);
      metrics.events.inc(events);
      metrics.batches.observe(appends);
      metrics.batchSeconds.observe(seconds);
    },
  });
  const streams = new StreamCache(sql);
  // The embedded database has one process, which need not share its totals.
  const shown = new HighWaterMarks(embedded ? undefined : sql);
  const visits = new Visits(appender, { shown, link: redis });
  const hitTotals = opened.use(new HitTotals(() => cache.counts, redis));
  const report = () => cacheReport({ hitTotals, sql, config });
  countCaches(metrics, report);
  const projectionSupervisor = new ProjectionSupervisor(sql, projections);
  const nginxes = config.NGINX_URL.map((url) =>
    new NginxVersions({
      url,
      secret: secrets.nginx,
      onFailure: () => metrics.nginxFailures.inc({ nginx: new URL(url).host }),
    })
  );
  const freshness: Freshness = new Freshness({ sql, embedded, cache: backend, nginxes });
  const leader = new Leader({
    sql,
    embedded,
    jobs: [
      freshness.job,
      visits.job,
      ...(config.ACCESS_LOG ? [new AccessLog({ sql, appender, path: config.ACCESS_LOG }).job] : []),
      deadlines(sql, appender, streams),
      webhook({ config, sql, wakeups }),
      projectionSupervisor.job,
    ],
  });
  await opened.use(freshness).listen();
  if (!embedded) await wakeups.listen(sql, (position) => appender.wrote(position));
  leader.start();
  opened.use(leader);
  opened.defer(() => appender.close());
  opened.use(visits);
  opened.use(live);
  const services: Services = {
    config,
    sql,
    embedded,
    appender,
    streams,
    cache,
    hitTotals,
    recentReport: remembered(report, REPORT_MS),
    hitHistory,
    freshness,
    leader,
    visits,
    live,
    projectionSupervisor,
    metrics,
    secrets,
    redis,
    sessions: new Sessions(redis),
    inFlightWrites: new InFlightWrites(),
    adminDigest: remembered(() => adminTokenDigest(config, sql), ADMIN_DIGEST_MS),
  };
  registerGauges(services);
  const closing = opened.move();
  return { ...services, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

/** The same figures on every replica, as each sums up all of them. */
function countCaches(metrics: Metrics, report: () => Promise<CacheReport>): void {
  metrics.gauge({
    name: "tallybook_cache_lookups",
    help: "Answers looked up in the caches, by kind; the same figures on every replica",
    labelNames: ["cache", "kind", "result"],
  }, async () => {
    const { answers, nginx } = await report().catch(() => ({ answers: [], nginx: [] }));
    return Object.entries({ answers, nginx }).flatMap(([cache, counts]) =>
      counts.flatMap(({ kind, hits, misses }) => [
        { labels: { cache, kind, result: "hit" }, value: hits },
        { labels: { cache, kind, result: "miss" }, value: misses },
      ])
    );
  });
}

type BackendOptions = { redis: RedisClient | undefined; embedded: boolean; secret: string };

function cacheBackendOf(config: Config, options: BackendOptions): CacheBackend {
  if (options.redis && config.REDIS_URL) {
    const links = { client: options.redis, invalidationClient: new RedisClient(config.REDIS_URL) };
    return new RedisCache(links, { ttlSeconds: config.CACHE_TTL_SECONDS, secret: options.secret });
  }
  return options.embedded ? new MemoryCache(config.CACHE_TTL_SECONDS) : new NullCache();
}

function remembered<Value>(read: () => Promise<Value>, ms: number): () => Promise<Value> {
  let kept: { value: Promise<Value>; until: number } | undefined;
  return () => {
    if (kept && kept.until > performance.now()) return kept.value;
    const value = read();
    value.catch(() => kept = undefined);
    kept = { value, until: performance.now() + ms };
    return value;
  };
}
