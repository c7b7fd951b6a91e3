// Hits and misses of the caches, of all replicas together, from one source each.
import { nginxCounts } from "../visits/access_log.ts";
import type { HitTotals } from "../cache/hit_totals.ts";
import type { CacheCounts } from "../cache/read_through.ts";
import type { Config } from "../config/config.ts";
import type { Sql } from "../connections/postgres.ts";
import type { CacheFacts, Rate } from "../schemas/cache.ts";

/** By kind of cached value in Redis (or memory), and by kind of address in Nginx. */
export type CacheReport = { answers: CacheCounts[]; nginx: CacheCounts[] };

/** As of now, up to the last request that the reader of the access log has seen. */
export async function cacheReport(
  { hitTotals, sql, config }: { hitTotals: HitTotals; sql: Sql; config: Config },
): Promise<CacheReport> {
  const nginx = config.ACCESS_LOG === undefined ? [] : await nginxCounts(sql);
  return { answers: await hitTotals.read(), nginx };
}

/** All kinds together; at most a second old, as every page reads them. */
export async function cacheFacts(
  { recentReport }: { recentReport: () => Promise<CacheReport> },
): Promise<CacheFacts> {
  const { answers, nginx } = await recentReport();
  return { ...rateOf(answers), nginx: rateOf(nginx) };
}

export function rateOf(counts: CacheCounts[]): Rate {
  const hits = counts.reduce((sum, each) => sum + each.hits, 0);
  const misses = counts.reduce((sum, each) => sum + each.misses, 0);
  const all = hits + misses;
  return { hits, misses, rate: all === 0 ? 0 : Math.round(hits / all * 1000) / 1000 };
}
