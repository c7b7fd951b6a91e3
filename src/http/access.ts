// Identifies the client of a request, and decides whether its origin may send it.
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

/**
 * Refuses a Host that is no host and port. A request's URL is made of it, so one with a query in it
 * (`a?before=1#`) would change what a path answers, and Nginx stores an answer under its path.
 */
export function checkHost(c: Context): void {
  const host = c.req.header("host");
  if (host === undefined || /^[\w.:[\]-]*$/.test(host)) return;
  throw new AppError("malformed", "the Host header is not a host and port");
}

/** The client's address. X-Forwarded-For counts only if the peer is one of TRUSTED_PROXIES. */
export function clientOf(c: Context, peer: string): string {
  const { TRUSTED_PROXIES } = c.get("services").config;
  if (!TRUSTED_PROXIES.has(peer)) return peer;
  const chain = (c.req.header("x-forwarded-for") ?? "").split(",").map((part) => part.trim());
  const client = chain.reverse().find((part) => part !== "" && !TRUSTED_PROXIES.has(part));
  return client ?? peer;
}

/**
 * Synchronous for requests without a token or session, which are nearly all. OPTIONS is never the
 * admin's: a preflight needs no token, and a browser never sends one with it.
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
 * Counts only wrong tokens against the limit. The right token is always accepted; otherwise one
 * client that guesses would lock out everybody behind the same address.
 */
export async function checkToken(c: Context, token: string): Promise<void> {
  if (sameDigest(token, await c.get("services").adminDigest())) return;
  c.get("limits").takeGuess(c.get("client"));
  throw new AppError("unauthorized", "the admin token is not right");
}

/** Sent to requests without an Origin, too: a cached answer serves the pages of every site. */
export const SHARED = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Expose-Headers":
    "ETag, Link, Location, Tallybook-Position, Tallybook-Visible, Retry-After",
};

/** For answers that are the same for everybody, so that one cached copy serves all sites. */
export function shareWithAll(c: Context): void {
  setHeader(c, "Access-Control-Allow-Origin", "*");
  removeHeader(c, "Access-Control-Allow-Credentials");
}

/**
 * Browsers send Origin or Sec-Fetch-Site with every write. Refuses pages of other sites unless
 * CORS_ORIGINS lists them. A request without both headers does not come from a browser, so it cannot
 * abuse a visitor's cookie.
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
  return origin === targetOrigin(c);
}

/** The origin that this request was sent to: its Host, with the scheme that a trusted proxy reports. */
function targetOrigin(c: Context): string | undefined {
  const host = c.req.header("host");
  if (host === undefined) return undefined;
  const isProxied = c.get("services").config.TRUSTED_PROXIES.has(c.env?.peer ?? "unknown");
  const scheme = isProxied && c.req.header("x-forwarded-proto") === "https" ? "https" : "http";
  return URL.parse(`${scheme}://${host}`)?.origin;
}
