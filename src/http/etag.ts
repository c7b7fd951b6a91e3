// ETag and 304 for every public GET. A handler may set its own tag, which saves reading the body; any
// other answer is tagged with a hash of its text.
import { hash } from "node:crypto";
import type { Context } from "./context.ts";

export function tagOf(text: string): string {
  return `"${hash("sha1", text, "base64url")}"`;
}

/** Replaces an answer that the client already has with a 304. */
export async function conditional(c: Context, response: Response): Promise<Response> {
  if (c.req.method !== "GET" && c.req.method !== "HEAD") return response;
  if (response.status !== 200) return response;
  const tag = response.headers.get("etag") ?? await tagAnswer(response);
  if (tag === undefined || !isKnown(c, tag)) return response;
  const headers = new Headers(response.headers);
  for (const name of ["content-type", "content-length", "content-encoding"]) headers.delete(name);
  return new Response(null, { status: 304, headers });
}

const TEXT = /^(application\/(json|atom\+xml)|text\/(html|csv|css|javascript)|image\/svg)/;

async function tagAnswer(response: Response): Promise<string | undefined> {
  const { headers } = response;
  if (/no-store|immutable/.test(headers.get("cache-control") ?? "")) return undefined;
  if (!TEXT.test(headers.get("content-type") ?? "")) return undefined;
  const tag = tagOf(await response.clone().text());
  headers.set("etag", tag);
  return tag;
}

export function isKnown(c: Context, tag: string): boolean {
  const known = c.req.header("if-none-match");
  return known !== undefined && matches(known, tag);
}

// Nginx makes the tag of a compressed answer weak; the text is the same.
function matches(known: string, tag: string): boolean {
  return known.trim() === "*" ||
    known.split(",").some((one) => one.trim().replace(/^W\//, "") === tag.replace(/^W\//, ""));
}
