// The service as src/main.ts opens it, in this process: on a database and a Redis of its own, under the
// role of production, behind a real socket.
import { Redis } from "ioredis";
import { createApp } from "$src/app.ts";
import { type Config, parseConfig, type Settings } from "$src/config/config.ts";
import { connect, openDatabase, type Sql } from "$src/connections/postgres.ts";
import { log } from "$src/log.ts";
import { addSample, openDefaultPoll } from "$src/sample_data.ts";
import type { Services } from "$src/http/services.ts";
import { openServices } from "$src/services.ts";
import { prepare } from "$src/start.ts";
import { grantService } from "$src/store/role_grants.ts";
import { migrate } from "$src/store/migrate.ts";
import { type ManagedProcess, ProcessGroup } from "$src/cli/stack/mod.ts";
import { createRedis } from "$src/cli/stack/redis.ts";
import { serverUser } from "$src/cli/stack/user.ts";
import { ApiClient } from "./api.ts";
import { freshDatabase } from "./database.ts";

export const ADMIN_TOKEN = "the-admin-token-of-tests";

/** One process of the service; a second one on the same place is a second replica. */
export type Replica = AsyncDisposable & {
  url: string;
  config: Config;
  services: Services;
  client(): ApiClient;
  admin(): ApiClient;
};

export type Place = AsyncDisposable & {
  settings: Settings;
  /** A superuser's connection. */
  owner: Sql;
  databaseName: string;
  /** Undefined where the service runs without Redis. */
  redis: { url: string; part: ManagedProcess; link: Redis } | undefined;
  open(settings?: Settings): Promise<Replica>;
};

export type Service = Replica & { place: Place };

export type PlaceOptions = { redis?: boolean };

export async function openPlace({ redis: wanted = true }: PlaceOptions = {}): Promise<Place> {
  await using opened = new AsyncDisposableStack();
  const database = opened.use(await freshDatabase());
  const owner = connect(database.ownerUrl, { max: 3, patient: true });
  opened.defer(() => owner.end({ timeout: 5 }));
  await migrate(owner);
  const { username: role, password } = new URL(database.serviceUrl);
  await grantService(owner, { role, password });
  const redis = wanted ? await ownRedis(opened) : undefined;
  const dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
  opened.defer(() => Deno.remove(dir, { recursive: true }));
  const settings: Settings = {
    DATABASE_URL: database.serviceUrl,
    REDIS_URL: redis?.url,
    ADMIN_TOKEN,
    DATA_DIR: dir,
    RATE_LIMIT: "off",
    POOL_SIZE: "6",
  };
  const closing = opened.move();
  return {
    settings,
    owner,
    databaseName: database.name,
    redis,
    open: (more = {}) => openReplica({ ...settings, ...more }),
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

export async function openService(
  settings: Settings = {},
  options: PlaceOptions = {},
): Promise<Service> {
  const place = await openPlace(options);
  const replica = await place.open(settings);
  return {
    ...replica,
    place,
    async [Symbol.asyncDispose]() {
      await replica[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

/** A Redis of its own, closed with the stack it was opened in. */
export async function ownRedis(opened: AsyncDisposableStack) {
  const keeper = opened.use(await ProcessGroup.open());
  const { part, url } = await createRedis(keeper, await serverUser(), () => {});
  const link = new Redis(url, { lazyConnect: true, retryStrategy: () => 50 });
  link.on("error", () => {});
  opened.defer(() => link.disconnect());
  return { part, url, link };
}

async function openReplica(settings: Settings): Promise<Replica> {
  log.setLevel("error");
  const config = parseConfig([settings]);
  await using opened = new AsyncDisposableStack();
  const database = opened.use(await openDatabase(config));
  await prepare(config, database, new AbortController().signal);
  const services = opened.use(await openServices(config, database));
  const isNew = await openDefaultPoll(services.sql, services.appender);
  if (isNew && config.SAMPLE_DATA) await addSample(services.sql, services.appender);
  const app = createApp(services);
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => app.fetch(request, { peer: "127.0.0.1" }),
  );
  opened.defer(() => server.shutdown());
  opened.defer(() => services.live[Symbol.asyncDispose]());
  const url = `http://127.0.0.1:${server.addr.port}`;
  const closing = opened.move();
  return {
    url,
    config,
    services,
    client: () => new ApiClient(url),
    admin: () => new ApiClient(url, ADMIN_TOKEN),
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}
