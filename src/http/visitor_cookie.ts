// Who a visitor is: a random id in a signed cookie, set by a POST only, so that pages stay the same
// for everybody. A poll and the guestbook each see a digest of their own: nobody who reads the log
// can tell that a vote and an entry came from the same hand.
import { hash, timingSafeEqual } from "node:crypto";
import type { Context } from "./context.ts";
import { setHeader } from "./response_headers.ts";

const COOKIE = "visitor";
const YEAR_SECONDS = 365 * 24 * 3600;
const OWN = "SameSite=Lax";
// A client that makes up keys this long does not share them with anybody.
const LONG_KEY = 16;

// An id and its signature, as setVisitor writes them, and nothing else.
const COOKIES = /(?:^|;)[ \t]*visitor=([0-9a-f-]{32,36})\.([0-9a-f]{64})[ \t]*(?=;|$)/g;

/**
 * The first visitor that is signed. There may be several cookies of the name: another path, another
 * domain or a subdomain's page can set one, and it must not hide ours.
 */
export function readVisitor(c: Context): string | undefined {
  const { visitors } = c.get("services").secrets;
  for (const [, id = "", signature = ""] of c.req.header("cookie")?.matchAll(COOKIES) ?? []) {
    if (timingSafeEqual(Buffer.from(signature), Buffer.from(visitors(id)))) return id;
  }
  return undefined;
}

/**
 * The visitor of this request, made now where none is known. With an Idempotency-Key a new visitor
 * is derived from it, so that a repeat of a first request is the same visitor again.
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
  const place = isOwn(key) ? "" : `${c.get("client")} `;
  return c.get("services").secrets.visitors(`visitor ${place}${key}`).slice(0, 32);
}

function isOwn(key: string): boolean {
  return key.length >= LONG_KEY;
}

/** Whose answers a key repeats: two clients that both count their requests from 1 are two callers. */
export function callerOf(c: Context, key: string): string {
  if (c.get("admin")) return "admin";
  return c.get("caller") ?? (isOwn(key) ? "anyone" : `at ${c.get("client")}`);
}

function setVisitor(c: Context, id: string): void {
  const { secrets, config } = c.get("services");
  const embedded = c.req.path.startsWith("/embed/");
  const secure = isSecure(c, config.PUBLIC_URL);
  const where = embedded ? "SameSite=None; Secure; Partitioned" : secure ? `${OWN}; Secure` : OWN;
  // Written as it is: all of it is made here, of letters that need no care.
  const cookie = `${COOKIE}=${id}.${
    secrets.visitors(id)
  }; Max-Age=${YEAR_SECONDS}; Path=/; HttpOnly`;
  setHeader(c, "Set-Cookie", `${cookie}; ${where}`);
}

export function isSecure(c: Context, publicUrl?: string): boolean {
  return publicUrl?.startsWith("https:") || c.req.header("x-forwarded-proto") === "https";
}

/** The visitor as one subject sees them. */
export function digestFor(subject: string, visitor: string): string {
  return hash("sha256", `${subject}:${visitor}`, "hex").slice(0, 32);
}
