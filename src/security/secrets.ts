// Secrets that are not configured are generated at the first start: those that replicas share live
// in the database, the signing key outside it, in DATA_DIR.
import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import type { Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { newSigningKey } from "../store/signed_head.ts";

/** The value that all replicas use: stores a generated one if there is none yet. */
export async function shared(sql: Sql, name: string, make: () => string): Promise<string> {
  await sql`
    insert into settings (name, value) values (${name}, ${make()}) on conflict (name) do nothing`;
  const [row] = await sql<{ value: string }[]>`select value from settings where name = ${name}`;
  if (!row) throw new AppError("unavailable", `a shared setting is missing: ${name}`);
  return row.value;
}

export function randomSecret(): string {
  return randomBytes(32).toString("base64url");
}

export function digest(secret: string): string {
  return hash("sha256", secret, "hex");
}

export type Keyed = (text: string) => string;

/**
 * A digest that only the holder of the secret can compute, built as HMAC is: one key inside,
 * another outside, each one block of SHA-256 long. createHmac makes a stream for every text, at 2.4
 * to 4.4 times the cost.
 */
export function keyed(secret: string): Keyed {
  const [inner, outer] = [digest(`inner ${secret}`), digest(`outer ${secret}`)];
  return (text) => digest(outer + digest(inner + text));
}

/** Takes the same time wherever the two secrets differ. */
export function sameDigest(secret: string, expected: string): boolean {
  return timingSafeEqual(Buffer.from(digest(secret)), Buffer.from(expected));
}

export async function setAdminToken(sql: Sql): Promise<string> {
  const token = randomSecret();
  await sql`
    insert into settings (name, value) values ('admin_token', ${digest(token)})
    on conflict (name) do update set value = excluded.value`;
  return token;
}

/** A token to print once, if none was configured or generated before; undefined otherwise. */
export async function firstAdminToken(config: Config, sql: Sql): Promise<string | undefined> {
  if (config.ADMIN_TOKEN !== undefined) return undefined;
  const token = randomSecret();
  const made = await sql`
    insert into settings (name, value) values ('admin_token', ${digest(token)})
    on conflict (name) do nothing returning name`;
  return made.length > 0 ? token : undefined;
}

export async function adminTokenDigest(config: Config, sql: Sql): Promise<string> {
  if (config.ADMIN_TOKEN !== undefined) return digest(config.ADMIN_TOKEN);
  const [row] = await sql<{ value: string }[]>`
    select value from settings where name = 'admin_token'`;
  return row?.value ?? digest(randomSecret());
}

export async function signingKeyText(config: Config): Promise<string> {
  if (config.SIGNING_KEY !== undefined) return config.SIGNING_KEY;
  const path = join(config.DATA_DIR, "signing.key");
  try {
    await Deno.mkdir(config.DATA_DIR, { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(path, newSigningKey(), { createNew: true, mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) {
      throw new AppError("unavailable", `DATA_DIR cannot be written: ${reason(error)}: ${path}`);
    }
  }
  return await Deno.readTextFile(path);
}
