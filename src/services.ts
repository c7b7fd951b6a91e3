// Everything a request works with, opened in one place and closed by the same place.
import type { KeyObject } from "node:crypto";
import { projections } from "$projections/mod.ts";
import { AccessLog } from "./visits/access_log.ts";
import { Cache } from "./cache/read_through.ts";
import { Sums } from "./cache/hit_totals.ts";
import { CacheWatch } from "./cache/hit_history.ts";
import { RedisLink } from "./connections/redis.ts";
import { MemoryTier } from "./cache/memory.ts";
import { NoTier } from "./cache/none.ts";
import { RedisTier } from "./cache/redis.ts";
import type { Tier } from "./cache/backend.ts";
import type { Config } from "./config/config.ts";
import type { Database, Sql } from "./connections/postgres.ts";
import { deadlines } from "./leader/close_due_polls.ts";
import { reason } from "./errors.ts";
import { Freshness } from "./freshness/freshness.ts";
import { NginxVersions } from "./freshness/nginx_versions.ts";
import { OpenWrites } from "./async/in_flight.ts";
import { Leader } from "./leader/leader.ts";
import { log } from "./log.ts";
import { Live } from "./live/channels.ts";
import { Metrics } from "./observability/metrics.ts";
import { Mending } from "./projector/supervisor.ts";
import { observe } from "./observability/gauges.ts";
import { liveHook } from "./projector/projector.ts";
import {
  adminTokenDigest,
  type Keyed,
  keyed,
  randomSecret,
  shared,
  signingKeyText,
} from "./security/secrets.ts";
import { Appender } from "./store/appender.ts";
import { parseSigningKey } from "./store/signed_head.ts";
import { type CacheReport, cacheReport } from "./observability/cache_report.ts";
import { Sessions } from "./security/sessions.ts";
import { ShownTotals } from "./visits/high_water_marks.ts";
import { Wakeups } from "./store/subscribe.ts";
import { Streams } from "./store/stream_cache.ts";
import { Visits } from "./visits/counter.ts";
import { webhook } from "./leader/webhook.ts";

export type Secrets = {
  /** Signs what visitors carry. */
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
  streams: Streams;
  cache: Cache;
  sums: Sums;
  /** How the caches do, as looked up within the last second. */
  recentReport: () => Promise<CacheReport>;
  cacheWatch: CacheWatch;
  freshness: Freshness;
  leader: Leader;
  visits: Visits;
  live: Live;
  mending: Mending;
  metrics: Metrics;
  secrets: Secrets;
  /** The digest that the admin token must have; read again now and then, as it may be made anew. */
  adminDigest: () => Promise<string>;
  redis: RedisLink | undefined;
  sessions: Sessions;
  openWrites: OpenWrites;
};

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
  const wakeups = opened.use(new Wakeups());
  const redis = config.REDIS_URL ? new RedisLink(config.REDIS_URL) : undefined;
  const tier = opened.use(tierOf(config, { redis, embedded, secret: cookieSecret }));
  const cache = new Cache(sql, tier);
  const cacheWatch = opened.use(new CacheWatch(cache, redis));
  const live = new Live(sql, wakeups, metrics);
  const appender: Appender = new Appender(sql, {
    hook: liveHook(projections),
    onCommit: (events) => {
      const invalidated = freshness.committed(events);
      wakeups.wake();
      return invalidated;
    },
    onUnknown: wakeups.wake,
    onError: (error) => log.error("after a commit", { error: reason(error) }),
    onBatch: ({ appends, events, seconds }) => {
      metrics.appends.inc(appends);
      metrics.events.inc(events);
      metrics.batches.observe(appends);
      metrics.batchSeconds.observe(seconds);
    },
  });
  const streams = new Streams(sql);
  // The embedded database has one process, which need not tell itself what it showed.
  const shown = new ShownTotals(embedded ? undefined : sql);
  const visits = new Visits(appender, { shown, link: redis });
  const sums = opened.use(new Sums(() => cache.counts, redis));
  const report = () => cacheReport({ sums, sql, config });
  countCaches(metrics, report);
  const mending = new Mending(sql, projections);
  const nginxes = config.NGINX_URL.map((url) =>
    new NginxVersions({
      url,
      secret: secrets.nginx,
      onFailure: () => metrics.nginxFailures.inc({ nginx: new URL(url).host }),
    })
  );
  const freshness: Freshness = new Freshness({ sql, embedded, cache: tier, nginxes });
  const leader = new Leader({
    sql,
    embedded,
    jobs: [
      freshness.job,
      visits.job,
      ...(config.ACCESS_LOG ? [new AccessLog({ sql, appender, path: config.ACCESS_LOG }).job] : []),
      deadlines(sql, appender, streams),
      webhook({ config, sql, wakeups }),
      mending.job,
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
    sums,
    recentReport: remembered(report, REPORT_MS),
    cacheWatch,
    freshness,
    leader,
    visits,
    live,
    mending,
    metrics,
    secrets,
    redis,
    sessions: new Sessions(redis),
    openWrites: new OpenWrites(),
    adminDigest: remembered(() => adminTokenDigest(config, sql), ADMIN_DIGEST_MS),
  };
  observe(services);
  const closing = opened.move();
  return { ...services, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

/** The same on every replica, as each shows what all have counted. */
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

type TierOf = { redis: RedisLink | undefined; embedded: boolean; secret: string };

function tierOf(config: Config, has: TierOf): Tier {
  if (has.redis && config.REDIS_URL) {
    const links = { link: has.redis, keeper: new RedisLink(config.REDIS_URL) };
    return new RedisTier(links, { ttlSeconds: config.CACHE_TTL_SECONDS, secret: has.secret });
  }
  return has.embedded ? new MemoryTier(config.CACHE_TTL_SECONDS) : new NoTier();
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
