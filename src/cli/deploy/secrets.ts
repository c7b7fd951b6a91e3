// Runs once, before the other containers and without a network: writes the secrets into one folder for
// each group of containers that share them. Uses a secret from the environment (NAME or NAME_FILE), keeps
// one that was generated before, and generates the others.
import { join } from "node:path";
import { AppError, reason } from "../../errors.ts";
import { randomSecret } from "../../security/secrets.ts";
import { newSigningKey } from "../../store/signed_head.ts";
import { run, say } from "../run.ts";

type Env = Record<string, string | undefined>;
type Secret = { folder: string; file: string; make: () => string };

// Each folder is a volume, mounted by: owner: PostgreSQL and migrate; data: migrate and the app; app: the
// app alone; cache: Redis and the app; edge: Nginx and the app.
const SECRETS: Record<string, Secret> = {
  OWNER_PASSWORD: { folder: "owner", file: "password", make: randomSecret },
  SERVICE_PASSWORD: { folder: "data", file: "password", make: randomSecret },
  REDIS_PASSWORD: { folder: "cache", file: "password", make: randomSecret },
  NGINX_SECRET: { folder: "edge", file: "nginx_secret", make: randomSecret },
  SIGNING_KEY: { folder: "app", file: "signing_key", make: newSigningKey },
  ADMIN_TOKEN: { folder: "app", file: "admin_token", make: () => "" },
  COOKIE_SECRET: { folder: "app", file: "cookie_secret", make: () => "" },
};

/** Connection URLs contain the passwords, so they are files in the same folders. */
function urls(secrets: Env): { folder: string; file: string; text: string }[] {
  const postgres = (role: string, password = "") =>
    `postgres://${role}:${encodeURIComponent(password)}@postgres:5432/tallybook`;
  const redis = `redis://:${encodeURIComponent(secrets.REDIS_PASSWORD ?? "")}@redis:6379/0`;
  return [
    { folder: "owner", file: "url", text: postgres("owner", secrets.OWNER_PASSWORD) },
    { folder: "data", file: "url", text: postgres("tallybook", secrets.SERVICE_PASSWORD) },
    { folder: "cache", file: "url", text: redis },
  ];
}

/** Returns the names of new secrets. The service generates an empty ADMIN_TOKEN or COOKIE_SECRET. */
export async function layOut(root: string, env: Env): Promise<string[]> {
  const made: string[] = [];
  const values: Env = {};
  for (const [name, { folder, file, make }] of Object.entries(SECRETS)) {
    const path = join(root, folder, file);
    const value = (await given(name, env) ?? await read(path) ?? make()).trim();
    if (value !== "" && !await isThere(path)) made.push(name);
    values[name] = value;
    await write(path, value);
  }
  for (const { folder, file, text } of urls(values)) await write(join(root, folder, file), text);
  return made;
}

async function given(name: string, env: Env): Promise<string | undefined> {
  const path = env[`${name}_FILE`];
  if (env[name]) return env[name];
  if (!path) return undefined;
  const text = await read(path);
  if (text) return text;
  throw new AppError("invalid", `${name}_FILE: empty or missing: ${path}`);
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function read(path: string): Promise<string | undefined> {
  try {
    return (await Deno.readTextFile(path)).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new AppError("unavailable", `secret cannot be read: ${reason(error)}: ${path}`);
  }
}

/** Readable by every user: each volume is mounted only where its secrets belong. */
async function write(path: string, text: string): Promise<void> {
  const part = `${path}.part`;
  await Deno.writeTextFile(part, text, { mode: 0o444 });
  await Deno.rename(part, path);
}

if (import.meta.main) {
  await run(async () => {
    const made = await layOut("/secrets", Deno.env.toObject());
    say(made.length > 0 ? `wrote ${made.join(", ")}` : "all secrets exist already");
  });
}
