// Prints the arguments of `deno run` for one of our programs, one per line: the named permissions that
// its configuration needs, the program, and options that depend on the container.
import { dirname, resolve } from "node:path";
import { type Config, loadConfig } from "../../config/config.ts";
import { AppError } from "../../errors.ts";
import { type OwnAddress, ownAddress } from "./own_address.ts";
import { print, run } from "../run.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "../../..");
const DEFAULT_PORTS: Record<string, string> = {
  "postgres:": "5432",
  "postgresql:": "5432",
  "redis:": "6379",
  "rediss:": "6379",
  "http:": "80",
  "https:": "443",
};

export type Place = { config: Config; env: Record<string, string>; own?: OwnAddress };

type Program = {
  net: (place: Place) => (string | undefined)[];
  write: (place: Place) => string[];
  args: (place: Place) => string[];
};

const listening = ({ config, own }: Place) => `${own?.address ?? config.HOST}:${config.PORT}`;
const nothing = () => [];

const PROGRAMS: Record<string, Program> = {
  "src/main.ts": {
    net: (place) => [
      listening(place),
      place.config.DATABASE_URL,
      place.config.REDIS_URL,
      place.config.WEBHOOK_URL,
      ...place.config.NGINX_URL,
    ],
    // Without these settings the embedded database and the generated signing key are stored there.
    write: ({ config: { DATABASE_URL, SIGNING_KEY, DATA_DIR } }) =>
      DATABASE_URL && SIGNING_KEY ? [] : [DATA_DIR],
    args: ({ own }) => own ? [`--host=${own.address}`, `--trusted-proxies=${own.network}`] : [],
  },
  "src/cli/migrate.ts": {
    net: ({ config }) => [config.OWNER_DATABASE_URL ?? config.DATABASE_URL],
    write: nothing,
    args: nothing,
  },
  "src/cli/backup.ts": {
    net: ({ config }) => [config.DATABASE_URL],
    write: () => ["backups"],
    args: nothing,
  },
};

export function permissionsFor(name: string, place: Place): string[] {
  const program = PROGRAMS[name];
  if (!program) throw new AppError("invalid", `unknown program: ${name}`);
  const net = program.net(place).filter((url) => url !== undefined).map(hostAndPort);
  const write = program.write(place).map((path) => resolve(ROOT, path));
  return [
    `--allow-net=${[...new Set(net)].join(",")}`,
    `--allow-read=${[ROOT, ...givenFiles(place), ...write].join(",")}`,
    ...(write.length > 0 ? [`--allow-write=${write.join(",")}`] : []),
    "--allow-env",
    "--allow-sys=hostname,osRelease,uid,cpus",
    name,
    ...program.args(place),
  ];
}

function hostAndPort(url: string): string {
  if (!url.includes("://")) return url;
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port || DEFAULT_PORTS[protocol]}`;
}

/** The secret files, and the folder of the access log, because the log is rotated. */
function givenFiles({ config, env }: Place): string[] {
  const named = Object.entries(env).filter(([name]) => name.endsWith("_FILE")).map(([, at]) => at);
  const files = named.filter((path) => path.startsWith("/"));
  return config.ACCESS_LOG ? [...files, dirname(config.ACCESS_LOG)] : files;
}

if (import.meta.main) {
  await run(async () => {
    const [name = "src/main.ts"] = Deno.args;
    const env = Deno.env.toObject();
    const own = env.LISTEN_NAME ? await ownAddress(env.LISTEN_NAME) : undefined;
    await print(permissionsFor(name, { config: loadConfig(), env, own }).join("\n") + "\n");
  });
}
