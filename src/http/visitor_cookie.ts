// A visitor is a random id in a signed cookie. Only a POST sets it, so that pages stay the same for
// everybody. Each poll and the guestbook see a digest of their own, so that a reader of the log cannot
// link a vote to an entry.
import { hash, timingSafeEqual } from "node:crypto";
import type { Context } from "./context.ts";
import { setHeader } from "./response_headers.ts";

const COOKIE = "visitor";
const YEAR_SECONDS = 365 * 24 * 3600;
const OWN = "SameSite=Lax";
// Keys of this length are unique to their client.
const LONG_KEY = 16;

// Exactly an id and its signature, as setVisitor writes them.
const COOKIES = /(?:^|;)[ \t]*visitor=([0-9a-f-]{32,36})\.([0-9a-f]{64})[ \t]*(?=;|$)/g;

/**
 * The first visitor whose signature is valid. A request may have several cookies of this name: another
 * path, another domain or a subdomain's page can set one, and it must not hide ours.
 */
export function readVisitor(c: Context): string | undefined {
  const { visitors } = c.get("services").secrets;
  for (const [, id = "", signature = ""] of c.req.header("cookie")?.matchAll(COOKIES) ?? []) {
    if (timingSafeEqual(Buffer.from(signature), Buffer.from(visitors(id)))) return id;
  }
  return undefined;
}

/**
 * The visitor of this request, created if it has none. A new visitor is derived from the
 * Idempotency-Key if there is one, so that a repeat of a first request is the same visitor.
 */
export function ensureVisitor(c: Context): string {
  const known = c.get("visitor");
  const id = known ?? fromKey(c) ?? crypto.randomUUID();
  c.set("caller", id);
  if (known === undefined) setVisitor(c, id);
  return id;
}

function fromKey(c: Context): string | undefined {
  const key = c.req.header("idempotency-key");
  if (!key) return undefined;
  const place = isUnique(key) ? "" : `${c.get("client")} `;
  return c.get("services").secrets.visitors(`visitor ${place}${key}`).slice(0, 32);
}

function isUnique(key: string): boolean {
  return key.length >= LONG_KEY;
}

/** The scope of an Idempotency-Key: two clients that both number their requests from 1 must differ. */
export function callerOf(c: Context, key: string): string {
  if (c.get("admin")) return "admin";
  return c.get("caller") ?? (isUnique(key) ? "anyone" : `at ${c.get("client")}`);
}

function setVisitor(c: Context, id: string): void {
  const { secrets, config } = c.get("services");
  const embedded = c.req.path.startsWith("/embed/");
  const secure = isSecure(c, config.PUBLIC_URL);
  const where = embedded ? "SameSite=None; Secure; Partitioned" : secure ? `${OWN}; Secure` : OWN;
  // No escaping needed: hexadecimal digits, hyphens and a dot only.
  const cookie = `${COOKIE}=${id}.${
    secrets.visitors(id)
  }; Max-Age=${YEAR_SECONDS}; Path=/; HttpOnly`;
  setHeader(c, "Set-Cookie", `${cookie}; ${where}`);
}

export function isSecure(c: Context, publicUrl?: string): boolean {
  return publicUrl?.startsWith("https:") || c.req.header("x-forwarded-proto") === "https";
}

/** The visitor's id for one subject (a poll, the guestbook). */
export function digestFor(subject: string, visitor: string): string {
  return hash("sha256", `${subject}:${visitor}`, "hex").slice(0, 32);
}
