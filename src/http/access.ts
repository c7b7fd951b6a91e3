// Who asks, and whether they may ask from where they are.
import { getCookie } from "hono/cookie";
import { AppError } from "../errors.ts";
import { sameDigest } from "../security/secrets.ts";
import type { Context } from "./context.ts";
import { removeHeader, setHeader } from "./response_headers.ts";

export const SESSION_COOKIE = "session";

const SAFE = ["GET", "HEAD", "OPTIONS"];

export function isWrite(c: Context): boolean {
  return !SAFE.includes(c.req.method);
}

/** The address that really asked: a proxy is believed only where it is named as one. */
export function clientOf(c: Context, peer: string): string {
  const { TRUSTED_PROXIES } = c.get("services").config;
  if (!TRUSTED_PROXIES.has(peer)) return peer;
  const chain = (c.req.header("x-forwarded-for") ?? "").split(",").map((part) => part.trim());
  const client = chain.reverse().find((part) => part !== "" && !TRUSTED_PROXIES.has(part));
  return client ?? peer;
}

/**
 * Known at once for nearly everybody: who has neither a token nor a session. Asking what may be asked
 * needs no token, and a browser's preflight never carries a right one.
 */
export function isAdmin(c: Context): boolean | Promise<boolean> {
  if (c.req.method === "OPTIONS") return false;
  const token = c.req.header("authorization")?.match(/^Bearer\s+(\S+)$/i)?.[1];
  if (token !== undefined) return hasToken(c, token);
  const session = getCookie(c, SESSION_COOKIE);
  return session !== undefined && c.get("services").sessions.has(session);
}

async function hasToken(c: Context, token: string): Promise<true> {
  await checkToken(c, token);
  return true;
}

/**
 * Limits wrong tokens only. The right one is always taken, or whoever guesses would lock it out for
 * everybody behind the same address.
 */
export async function checkToken(c: Context, token: string): Promise<void> {
  if (sameDigest(token, await c.get("services").adminDigest())) return;
  c.get("limits").takeGuess(c.get("client"));
  throw new AppError("unauthorized", "the admin token is not right");
}

/** Said without an Origin, too: what one reader's request left in a cache is for all sites' pages. */
export const SHARED = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Expose-Headers":
    "ETag, Link, Location, Tallybook-Position, Tallybook-Visible, Retry-After",
};

/** What is the same for everybody says so to everybody: one copy of it serves all sites. */
export function shareWithAll(c: Context): void {
  setHeader(c, "Access-Control-Allow-Origin", "*");
  removeHeader(c, "Access-Control-Allow-Credentials");
}

/**
 * A write that a browser sends says where it comes from. Other sites' pages are refused unless they
 * are named in CORS_ORIGINS; what says nothing is no browser, and carries no visitor's cookie.
 */
export function checkOrigin(c: Context): void {
  if (!isWrite(c)) return;
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site");
  if (origin !== undefined && isAllowed(c, origin)) return;
  if (origin === undefined && (site === undefined || site === "same-origin" || site === "none")) {
    return;
  }
  throw new AppError("forbidden", "a page of another site may not write here");
}

export function isAllowed(c: Context, origin: string): boolean {
  const { CORS_ORIGINS, PUBLIC_URL } = c.get("services").config;
  const own = PUBLIC_URL === undefined ? [] : [new URL(PUBLIC_URL).origin];
  if ([...own, ...CORS_ORIGINS.map((url) => new URL(url).origin)].includes(origin)) return true;
  return origin === askedOrigin(c);
}

/** The origin that this request was sent to: its Host, and the scheme that a trusted proxy took it by. */
function askedOrigin(c: Context): string | undefined {
  const host = c.req.header("host");
  if (host === undefined) return undefined;
  const isProxied = c.get("services").config.TRUSTED_PROXIES.has(c.env?.peer ?? "unknown");
  const scheme = isProxied && c.req.header("x-forwarded-proto") === "https" ? "https" : "http";
  return URL.parse(`${scheme}://${host}`)?.origin;
}
