// ETag and 304 for every public GET. What a handler knows its tag of is not read again; the rest is
// tagged by what it says.
import { hash } from "node:crypto";
import type { Context } from "./context.ts";

export function tagOf(text: string): string {
  return `"${hash("sha1", text, "base64url")}"`;
}

/** Turns an answer that the client already has into a 304. */
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

/** Whether the client has the answer with this tag already. */
export function isKnown(c: Context, tag: string): boolean {
  const known = c.req.header("if-none-match");
  return known !== undefined && matches(known, tag);
}

// Nginx marks what it compresses as weak; the text behind it is the same.
function matches(known: string, tag: string): boolean {
  return known.trim() === "*" ||
    known.split(",").some((one) => one.trim().replace(/^W\//, "") === tag.replace(/^W\//, ""));
}
