// ETag and 304 for every public GET. What a handler knows its tag of is not read again; the rest is
// tagged by what it says.
import { hash } from "node:crypto";
import type { Context } from "./context.ts";

export function tagOf(text: string): string {
  return `"${hash("sha1", text, "base64url")}"`;
}

/** Turns an answer that the client already has into a 304. */
export async function conditional(c: Context): Promise<void> {
  if (c.req.method !== "GET" && c.req.method !== "HEAD") return;
  if (c.res.status !== 200) return;
  const tag = c.res.headers.get("etag") ?? await tagAnswer(c);
  const known = c.req.header("if-none-match");
  if (tag === undefined || known === undefined || !matches(known, tag)) return;
  const headers = new Headers(c.res.headers);
  for (const name of ["content-type", "content-length", "content-encoding"]) headers.delete(name);
  c.res = undefined;
  c.res = new Response(null, { status: 304, headers });
}

const TEXT = /^(application\/(json|atom\+xml)|text\/(html|csv|css|javascript)|image\/svg)/;

async function tagAnswer(c: Context): Promise<string | undefined> {
  const { headers } = c.res;
  if (/no-store|immutable/.test(headers.get("cache-control") ?? "")) return undefined;
  if (!TEXT.test(headers.get("content-type") ?? "")) return undefined;
  const tag = tagOf(await c.res.clone().text());
  headers.set("etag", tag);
  return tag;
}

// Nginx marks what it compresses as weak; the text behind it is the same.
function matches(known: string, tag: string): boolean {
  return known.trim() === "*" ||
    known.split(",").some((one) => one.trim().replace(/^W\//, "") === tag.replace(/^W\//, ""));
}
