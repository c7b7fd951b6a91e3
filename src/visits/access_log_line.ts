// What a line of Nginx's access log tells: a view of a page, and how its cache did.
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

// Addresses of pages, each written in one way only, so that their number is that of what is there.
const NO_PAGE = /\/results$|\.csv$/;

export function isPage(path: string): boolean {
  return isCachedPath(path, undefined) && !NO_PAGE.test(path);
}

/**
 * The page that somebody saw. The guestbook counts in any form, as it shows the count in any form;
 * the others only as pages for people.
 */
export function viewOf(line: Line): string | undefined {
  const { method, uri, status, type, wish } = line;
  if (method !== "GET" || !isPage(uri)) return undefined;
  const isHtml = status === 200 ? type.startsWith("text/html") : status === 304 && wish === "html";
  const isHome = uri === "/" && (status === 200 || status === 304);
  return isHtml || isHome ? uri : undefined;
}

// What came by the cache without being looked up there says nothing about it.
const LOOKED_UP = ["HIT", "MISS", "EXPIRED", "STALE"];

/** How the cache did, and for which kind of address. */
export function lookupOf(line: Line): { kind: string; hit: boolean } | undefined {
  if (!LOOKED_UP.includes(line.cache)) return undefined;
  return { kind: kindOfPath(line.uri), hit: line.cache === "HIT" };
}

function kindOfPath(uri: string): string {
  if (uri.startsWith("/assets/")) return "/assets";
  return isCachedPath(uri, "known") ? uri.replace(/\d+/, ":id") : "other";
}
