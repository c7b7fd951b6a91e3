// Generates the secrets that all app processes of a stack share; uses those in the environment.
import { generateKeyPairSync, randomBytes } from "node:crypto";

export function secret(): string {
  return randomBytes(24).toString("hex");
}

const MAKE = {
  ADMIN_TOKEN: secret,
  COOKIE_SECRET: secret,
  NGINX_SECRET: secret,
  SIGNING_KEY: () =>
    generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
};

export type Secrets = Record<keyof typeof MAKE, string>;

export function stackSecrets(given: Record<string, string>): Secrets {
  const pick = (name: keyof typeof MAKE) => given[name] || Deno.env.get(name) || MAKE[name]();
  return {
    ADMIN_TOKEN: pick("ADMIN_TOKEN"),
    COOKIE_SECRET: pick("COOKIE_SECRET"),
    NGINX_SECRET: pick("NGINX_SECRET"),
    SIGNING_KEY: pick("SIGNING_KEY"),
  };
}
