// deno task cache [clear]: shows the size and hit rates of the caches, or clears the query cache.
import { nginxCounts } from "../visits/access_log.ts";
import type { CacheCounts } from "../cache/read_through.ts";
import { HitTotals } from "../cache/hit_totals.ts";
import { randomSecret } from "../security/secrets.ts";
import { RedisClient } from "../connections/redis.ts";
import { RedisCache } from "../cache/redis.ts";
import { type Config, loadConfig } from "../config/config.ts";
import { openDatabase } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import { waitFor } from "../async/wait_for.ts";
import { print, run } from "./run.ts";

const USAGE = "usage: deno task cache [clear]";

type Row = { kind: string; kept: number | null; hits: number; misses: number };

function table(title: string, rows: Row[]): string {
  const lines = rows.map(({ kind, kept, hits, misses }) => {
    const rate = hits + misses === 0 ? "-" : `${(hits / (hits + misses) * 100).toFixed(1)} %`;
    return [kind, kept ?? "-", hits, misses, rate].map((cell, i) =>
      i === 0 ? String(cell).padEnd(22) : String(cell).padStart(10)
    ).join("");
  });
  const head = ["kept", "hits", "misses", "rate"].map((name) => name.padStart(10)).join("");
  return [title.padEnd(22) + head, ...lines, ""].join("\n");
}

function rowsOf(counts: CacheCounts[], kept: { kind: string; count: number }[]): Row[] {
  const kinds = new Set([...counts, ...kept].map(({ kind }) => kind));
  return [...kinds].sort().map((kind) => {
    const { hits = 0, misses = 0 } = counts.find((one) => one.kind === kind) ?? {};
    return { kind, hits, misses, kept: kept.find((one) => one.kind === kind)?.count ?? 0 };
  });
}

/** Without Redis the cache is in the service's memory, so the running service reports or clears it. */
async function askService({ PORT, ADMIN_TOKEN }: Config, clear: boolean): Promise<void> {
  const at = `http://127.0.0.1:${PORT}`;
  if (!clear) {
    const facts = await (await fetch(at, { headers: { accept: "application/json" } })).json();
    return await print(table("memory", [{ kind: "all", kept: null, ...facts.cache }]));
  }
  if (ADMIN_TOKEN === undefined) {
    throw new AppError("unauthorized", "clear asks the running service: set ADMIN_TOKEN");
  }
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
  const answer = await fetch(`${at}/admin/cache/clear`, { method: "POST", headers });
  if (!answer.ok) throw new AppError("unavailable", `the service answered ${answer.status}`);
  await print("cleared\n");
}

async function askRedis(config: Config, url: string, clear: boolean): Promise<void> {
  const link = new RedisClient(url);
  await using tier = new RedisCache(
    { client: link, invalidationClient: new RedisClient(url) },
    // A random secret is enough: this task counts and deletes keys, and reads no cached value.
    { ttlSeconds: config.CACHE_TTL_SECONDS, secret: randomSecret() },
  );
  await waitFor(() => link.isAvailable, 3000, "Redis to answer");
  if (clear) {
    await tier.clear();
    return await print("cleared; pages stored in Nginx expire within 5 seconds\n");
  }
  await using hitTotals = new HitTotals(() => [], link);
  await print(table("redis", rowsOf(await hitTotals.read(), await tier.keys())));
}

async function showNginx(config: Config): Promise<void> {
  await using database = await openDatabase(config, { max: 1 });
  const rows = (await nginxCounts(database.sql)).map((counts) => ({ ...counts, kept: null }));
  if (rows.length > 0) await print(table("nginx", rows));
}

await run(async () => {
  const [word, ...more] = Deno.args;
  if (more.length > 0 || (word !== undefined && word !== "clear")) {
    throw new AppError("invalid", USAGE);
  }
  const config = loadConfig();
  const clear = word === "clear";
  if (config.REDIS_URL) await askRedis(config, config.REDIS_URL, clear);
  else await askService(config, clear);
  if (!clear && config.DATABASE_URL) await showNginx(config);
});
