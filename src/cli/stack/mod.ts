// Starts the service as in production, on this machine and without containers, until the returned object
// is disposed. Tests, benchmarks and `deno task stack` use these two functions.
import { AppError } from "../../errors.ts";
import { createApp, migrate } from "./app.ts";
import { ProcessGroup } from "./process_group.ts";
import { createNginx, type Nginx } from "./nginx.ts";
import type { ManagedProcess } from "./managed_process.ts";
import { freePort } from "./ports.ts";
import { createPostgres } from "./postgres.ts";
import { createRedis } from "./redis.ts";
import { type Secrets, stackSecrets } from "./secrets.ts";
import { ensureTools } from "./tools.ts";
import { serverUser } from "./user.ts";

export { ProcessGroup, signalTree } from "./process_group.ts";
export type { ManagedProcess } from "./managed_process.ts";
export { freePort } from "./ports.ts";
export { ensureTools, missingTools, type Tool } from "./tools.ts";
export { waitFor } from "../../async/wait_for.ts";

export type Servers = AsyncDisposable & {
  /** Temporary directory; removed on dispose. */
  dir: string;
  keeper: ProcessGroup;
  postgres: ManagedProcess;
  redis: ManagedProcess;
  ownerDatabaseUrl: string;
  databaseUrl: string;
  redisUrl: string;
};

export type Stack = Servers & {
  apps: ManagedProcess[];
  /** The first Nginx, its URLs and its log. */
  nginx: ManagedProcess;
  url: string;
  insideUrl: string;
  accessLog: string;
  nginxes: Nginx[];
  appUrls: string[];
  secrets: Secrets;
  /** The environment of a command: STACK_URL, APP_URLS, DATABASE_URL and others. */
  env: Record<string, string>;
};

export type StackOptions = {
  replicas?: number;
  /** Port of the first Nginx; a free one by default. */
  port?: number;
  /** Number of Nginx before the same app processes; one by default. */
  nginxes?: number;
  /** Environment of the app processes; overrides this process's own. */
  env?: Record<string, string>;
  /** A script to run in place of src/main.ts. */
  app?: string;
  say?: (line: string) => void;
};

const root = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");

/** PostgreSQL and Redis on free ports, without the app. */
export async function startServers(options: Pick<StackOptions, "say"> = {}): Promise<Servers> {
  await ensureTools(["postgres", "redis"], options.say ?? (() => {}));
  const keeper = await ProcessGroup.open();
  return await orClose(keeper, async () => {
    const parts: ManagedProcess[] = [];
    const servers = await openServers(keeper, () => writeFacts(keeper, parts));
    parts.push(servers.postgres, servers.redis);
    writeFacts(keeper, parts);
    return servers;
  });
}

/** The whole stack. Resolves when Nginx and each app process are ready. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  await ensureTools(["postgres", "redis", "nginx"], options.say ?? (() => {}));
  const keeper = await ProcessGroup.open();
  return await orClose(keeper, () => openStack(keeper, options));
}

async function openServers(keeper: ProcessGroup, changed: () => void): Promise<Servers> {
  const user = await serverUser();
  const [postgres, redis] = await Promise.all([
    createPostgres(keeper, user, changed),
    createRedis(keeper, user, changed),
  ]);
  return {
    dir: keeper.dir,
    keeper,
    postgres: postgres.part,
    redis: redis.part,
    ownerDatabaseUrl: postgres.ownerUrl,
    databaseUrl: postgres.serviceUrl,
    redisUrl: redis.url,
    [Symbol.asyncDispose]: () => keeper[Symbol.asyncDispose](),
  };
}

async function openStack(keeper: ProcessGroup, options: StackOptions): Promise<Stack> {
  const parts: ManagedProcess[] = [];
  const changed = () => writeFacts(keeper, parts);
  const servers = await openServers(keeper, changed);
  parts.push(servers.postgres, servers.redis);
  const given = options.env ?? {};
  const secrets = stackSecrets(given);
  const places = Array.from({ length: options.nginxes ?? 1 }, (_, index) => ({
    name: index === 0 ? "nginx" : `nginx-${index + 1}`,
    port: index === 0 && options.port ? options.port : freePort(),
    insidePort: freePort(),
  }));
  const accessLog = `${keeper.dir}/nginx/logs/access.log`;
  const env = {
    DATABASE_URL: servers.databaseUrl,
    // Withheld from the app, whose role may append to the log but not change it.
    OWNER_DATABASE_URL: "",
    REDIS_URL: servers.redisUrl,
    NGINX_URL: places.map(({ insidePort }) => `http://127.0.0.1:${insidePort}`).join(","),
    TRUSTED_PROXIES: "127.0.0.1",
    ACCESS_LOG: accessLog,
    ...given,
    ...secrets,
  };
  const script = options.app ?? Deno.env.get("STACK_APP") ?? "src/main.ts";
  const appOptions = { root, script, env, changed };
  await Deno.mkdir(`${keeper.dir}/data`);
  const ownerEnv = { ...env, OWNER_DATABASE_URL: servers.ownerDatabaseUrl };
  await migrate(keeper, { ...appOptions, env: ownerEnv });
  const apps = Array.from(
    { length: options.replicas ?? 1 },
    (_, index) => createApp(keeper, index + 1, appOptions),
  );
  const user = await serverUser();
  const nginxes = await Promise.all(places.map((place) =>
    createNginx(keeper, user, {
      ...place,
      root,
      appPorts: apps.map((app) => app.port),
      nginxSecret: secrets.NGINX_SECRET,
      limits: (given.RATE_LIMIT ?? Deno.env.get("RATE_LIMIT")) !== "off",
      changed,
    })
  ));
  const [nginx] = nginxes;
  if (nginx === undefined) throw new AppError("invalid", "a stack has at least one Nginx");
  parts.push(...nginxes.map(({ part }) => part), ...apps);
  await Promise.all([...nginxes.map(({ part }) => part), ...apps].map((part) => part.start()));
  const appUrls = apps.map((app) => `http://127.0.0.1:${app.port}`);
  return {
    ...servers,
    apps,
    nginx: nginx.part,
    url: nginx.url,
    appUrls,
    insideUrl: nginx.insideUrl,
    accessLog,
    nginxes,
    secrets,
    env: {
      ...ownerEnv,
      STACK_URL: nginx.url,
      APP_URLS: appUrls.join(","),
      STACK_DIR: keeper.dir,
    },
  };
}

/** stack.json tells commands that run beside the stack which process is which. */
function writeFacts(keeper: ProcessGroup, parts: ManagedProcess[]): void {
  const facts = Object.fromEntries(
    parts.map(({ name, pid, port }) => [name, { pid: pid ?? null, port }]),
  );
  try {
    Deno.writeTextFileSync(`${keeper.dir}/stack.json`, JSON.stringify(facts, null, 2) + "\n");
  } catch (error) {
    // The directory may be removed while the last processes end.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function orClose<T>(keeper: ProcessGroup, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    await keeper[Symbol.asyncDispose]();
    throw error;
  }
}
