// Reads one line of Nginx's access log: a page view, and the result of the cache lookup.
import { z } from "zod";
import { isCachedPath } from "../freshness/cached_paths.ts";

const schema = z.object({
  method: z.string(),
  uri: z.string(),
  status: z.number(),
  cache: z.string(),
  type: z.string(),
  wish: z.string(),
});

export type Line = z.infer<typeof schema>;

export function parseLine(text: string): Line | undefined {
  try {
    const result = schema.safeParse(JSON.parse(text));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}

// Addresses of pages, each in one spelling only, so that there are only as many as there are pages.
const NO_PAGE = /\/results$|\.csv$/;

export function isPage(path: string): boolean {
  return isCachedPath(path, undefined) && !NO_PAGE.test(path);
}

/**
 * The page that was viewed. The guestbook counts in any format, as it shows the count in any
 * format; other pages count only as HTML.
 */
export function viewOf(line: Line): string | undefined {
  const { method, uri, status, type, wish } = line;
  if (method !== "GET" || !isPage(uri)) return undefined;
  const isHtml = status === 200 ? type.startsWith("text/html") : status === 304 && wish === "html";
  const isHome = uri === "/" && (status === 200 || status === 304);
  return isHtml || isHome ? uri : undefined;
}

// A request that skipped the lookup says nothing about the cache.
const LOOKED_UP = ["HIT", "MISS", "EXPIRED", "STALE"];

/** The result of the cache lookup, and the kind of address. */
export function lookupOf(line: Line): { kind: string; hit: boolean } | undefined {
  if (!LOOKED_UP.includes(line.cache)) return undefined;
  return { kind: kindOfPath(line.uri), hit: line.cache === "HIT" };
}

function kindOfPath(uri: string): string {
  if (uri.startsWith("/assets/")) return "/assets";
  return isCachedPath(uri, "known") ? uri.replace(/\d+/, ":id") : "other";
}
