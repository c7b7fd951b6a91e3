// Defaults < .env < environment < command line, parsed once; one message names every wrong value.
import { z } from "zod";
import { Addresses } from "./ip_ranges.ts";
import { AppError, reason } from "../errors.ts";

const flag = z.stringbool({
  truthy: ["true", "1", "yes", "on"],
  falsy: ["false", "0", "no", "off"],
});
const list = z.string().transform((text) => text.split(/[\s,]+/).filter((part) => part !== ""));
const origins = list.pipe(z.array(z.url({ protocol: /^https?$/, error: "not an http(s) origin" })));
const addresses = list.transform((entries, context) => {
  try {
    return new Addresses(entries);
  } catch (error) {
    context.addIssue(reason(error));
    return z.NEVER;
  }
});
const databaseUrl = z.url({ protocol: /^postgres(ql)?$/, error: "not a postgres:// address" });

const schema = z.object({
  PORT: z.coerce.number().int().min(0).max(65535).default(8000),
  HOST: z.string().default("0.0.0.0"),
  DATABASE_URL: databaseUrl.optional(),
  OWNER_DATABASE_URL: databaseUrl.optional(),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: "not a redis:// address" }).optional(),
  CACHE_TTL_SECONDS: z.coerce.number().int().min(1).max(86400).default(60),
  VISIBLE_WAIT_MS: z.coerce.number().int().min(0).max(60000).default(1000),
  NGINX_URL: origins.default([]),
  PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  TRUSTED_PROXIES: addresses.default(() => new Addresses()),
  ACCESS_LOG: z.string().optional(),
  SITE_TITLE: z.string().min(1).max(100).default("Tallybook"),
  ADMIN_TOKEN: z.string().min(16, "shorter than 16 characters").optional(),
  COOKIE_SECRET: z.string().min(16, "shorter than 16 characters").optional(),
  NGINX_SECRET: z.string().min(16, "shorter than 16 characters").optional(),
  SIGNING_KEY: z.string().optional(),
  ACCESS: z.enum(["open", "guarded"]).default("open"),
  MODERATION: z.enum(["after", "before"]).default("after"),
  CORS_ORIGINS: origins.default([]),
  EMBED_ORIGINS: origins.default([]),
  RATE_LIMIT: flag.default(true),
  SAMPLE_DATA: flag.default(false),
  WEBHOOK_URL: z.url({ protocol: /^https?$/ }).optional(),
  WEBHOOK_SECRET: z.string().min(16, "shorter than 16 characters").optional(),
  LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  DATA_DIR: z.string().min(1).default("./data"),
  POOL_SIZE: z.coerce.number().int().min(2).max(100).default(10),
});

export type Config = Readonly<z.infer<typeof schema>>;
export type Settings = Record<string, string | undefined>;

const names = Object.keys(schema.shape);

/** Merges the four sources, reads `NAME_FILE` secrets and the old names, and checks every value. */
export function parseConfig(sources: Settings[]): Config {
  const merged: Settings = {};
  for (const source of sources) {
    const given = Object.entries(source).filter(([, value]) => value !== undefined && value !== "");
    Object.assign(
      merged,
      oldNames(Object.fromEntries(given)),
      readFiles(Object.fromEntries(given)),
    );
    for (const [name, value] of given) if (names.includes(name)) merged[name] = value;
  }
  const result = schema.safeParse(merged);
  if (result.success) return Object.freeze(result.data);
  const wrong = result.error.issues.map((issue) =>
    `${issue.path.join(".")}: ${issue.message} (${shown(issue.path[0], merged)})`
  );
  throw new AppError("invalid", `configuration refused: ${wrong.join("; ")}`);
}

export function loadConfig(args: string[] = []): Config {
  return parseConfig([dotEnv(), Deno.env.toObject(), parseFlags(args)]);
}

function shown(name: PropertyKey | undefined, merged: Settings): string {
  const key = String(name);
  if (/TOKEN|SECRET|KEY/.test(key)) return "value not shown";
  return JSON.stringify(merged[key]?.replace(/\/\/[^@/]*@/, "//***@") ?? null);
}

/** `--port 9000` and `--port=9000` become PORT; an unknown flag is refused by name. */
export function parseFlags(args: string[]): Settings {
  const found: Settings = {};
  for (let i = 0; i < args.length; i++) {
    const [, dashed, inline] = args[i]?.match(/^--([a-z][a-z-]*)(?:=(.*))?$/s) ?? [];
    const name = dashed?.toUpperCase().replaceAll("-", "_");
    if (name === undefined || !names.includes(name)) {
      throw new AppError("invalid", `configuration refused: unknown option: ${args[i]}`);
    }
    found[name] = inline ?? args[++i] ?? "true";
  }
  return found;
}

function dotEnv(): Settings {
  try {
    return parseDotEnv(Deno.readTextFileSync(".env"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
}

export function parseDotEnv(text: string): Settings {
  const found: Settings = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, value] = line.match(/^\s*(?:export\s+)?([A-Z_][A-Z0-9_]*)\s*=\s*(.*?)\s*$/) ??
      [];
    if (name !== undefined && value !== undefined) {
      found[name] = value.replace(/^(["'])(.*)\1$/, "$2");
    }
  }
  return found;
}

function readFiles(source: Settings): Settings {
  const found: Settings = {};
  for (const name of names) {
    const path = source[`${name}_FILE`];
    if (path === undefined) continue;
    try {
      const text = Deno.readTextFileSync(path).trim();
      // As with a variable, an empty file counts as not set.
      if (text !== "") found[name] = text;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new AppError("invalid", `configuration refused: ${name}_FILE: ${why}: ${path}`);
    }
  }
  return found;
}

function oldNames(source: Settings): Settings {
  const found: Settings = {};
  const { DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD, REDIS_HOST, REDIS_PORT } = source;
  if (DB_HOST !== undefined) {
    const login = encodeURIComponent(DB_USER ?? "postgres") +
      (DB_PASSWORD === undefined ? "" : `:${encodeURIComponent(DB_PASSWORD)}`);
    const place = `${DB_HOST}:${DB_PORT ?? "5432"}/${encodeURIComponent(DB_NAME ?? "postgres")}`;
    found.DATABASE_URL = `postgres://${login}@${place}`;
  }
  if (REDIS_HOST !== undefined) found.REDIS_URL = `redis://${REDIS_HOST}:${REDIS_PORT ?? "6379"}`;
  return found;
}
