// The answers: JSON, or a page where the Accept header asks for one, from the same data.
import type { CachedValue } from "../cache/backend.ts";
import { AppError } from "../errors.ts";
import { isKnown, tagOf } from "./etag.ts";
import { type Context, type Html, wantsHtml } from "./context.ts";
import { SHARED } from "./access.ts";
import { pageHeaders } from "./security_headers.ts";
import { setHeader } from "./response_headers.ts";

/** Clients may keep an answer and must ask whether it still holds; Nginx has its own rules. */
const REVALIDATE = "no-cache";

type QueryResponse<Data> = {
  page?: (data: Data) => Html;
  etag?: (data: Data) => string;
  link?: (data: Data) => string | undefined;
  json?: (data: Data) => unknown;
  /** Names what else than the answer these depend on: nobody gets what was made for others. */
  variant?: string;
  /** A frame shows a page, whatever else its caller would take. */
  onlyPage?: true;
};

/** With all headers but those that differ from one reader to the next. */
type Rendered = { text: string; headers: Record<string, string> & { ETag: string } };

// What was made of an answer, for as long as the cache gives the very same answer again.
const rendered = new WeakMap<CachedValue, Map<string, Rendered>>();

/** Shows what a read model answered; null means that there is no such thing. */
export async function sendQuery<Data>(
  c: Context,
  answer: CachedValue,
  how: QueryResponse<Data>,
): Promise<Response> {
  if (answer.text === "null") throw new AppError("not_found", "no such address");
  const asksForPage = wantsHtml(c);
  const html = how.page !== undefined && (how.onlyPage === true || asksForPage);
  // One answer serves several addresses, each in a form of its own.
  const key = `${c.get("route")} ${html ? "html" : "json"} ${how.variant ?? ""}`;
  const { text, headers } = rendered.get(answer)?.get(key) ??
    await make(answer, how, { html, key });
  return finished(c, text, {
    ...headers,
    ...c.get("said"),
    "X-Request-Id": c.get("requestId"),
    ...(html || asksForPage ? pageHeaders(c) : {}),
  });
}

/** All headers at once, and no body for who has it: this is the way of nearly every read. */
function finished(c: Context, text: string, headers: Rendered["headers"]): Response {
  const isThere = isKnown(c, headers.ETag);
  if (isThere) delete headers["Content-Type"];
  const [body, status] = isThere ? [null, 304] as const : [text, 200] as const;
  const response = new Response(body, { status, headers });
  c.set("finished", response);
  return response;
}

type As = { html: boolean; key: string };

async function make<Data>(
  answer: CachedValue,
  how: QueryResponse<Data>,
  { html, key }: As,
): Promise<Rendered> {
  const data = JSON.parse(answer.text) as Data;
  const link = how.link?.(data);
  const text = html && how.page
    ? (await how.page(data)).toString()
    : how.json
    ? JSON.stringify(how.json(data))
    : answer.text;
  const headers = {
    ...SHARED,
    "Tallybook-Position": String(answer.position),
    "Vary": "Accept, Origin",
    "Cache-Control": REVALIDATE,
    "ETag": !html && how.etag ? how.etag(data) : tagOf(text),
    ...(link ? { "Link": link } : {}),
    "X-Content-Type-Options": "nosniff",
    "Content-Type": html ? "text/html; charset=UTF-8" : "application/json",
  };
  const known = rendered.get(answer) ?? new Map<string, Rendered>();
  rendered.set(answer, known.set(key, { text, headers }));
  return { text, headers };
}

export function nextLink(path: string, query: Record<string, string | number>): string {
  const search = new URLSearchParams(
    Object.entries(query).map(([name, value]) => [name, String(value)]),
  );
  return `<${path}?${search}>; rel="next"`;
}

type CommandResult = { status?: 200 | 201; json: unknown; location: string; etag?: number };

/**
 * The answer to a write: a form is sent on, an API client gets the facts. What else its headers tell,
 * its handler says by say(): c.header() is not asked where the answer is made in one go.
 */
export function sendCommandResult(
  c: Context,
  { status = 200, json, location, etag }: CommandResult,
): Response {
  if (c.get("body")?.form) {
    setHeader(c, "Cache-Control", "no-store");
    return c.redirect(location, 303);
  }
  const headers: Record<string, string> = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    ...(status === 201 ? { "Location": location } : {}),
    ...(etag === undefined ? {} : { "ETag": `"${etag}"` }),
  };
  const text = JSON.stringify(json);
  // A page's headers are the frame's to add.
  if (wantsHtml(c)) return c.newResponse(text, status, headers);
  const all = {
    ...headers,
    ...SHARED,
    ...c.get("said"),
    "X-Request-Id": c.get("requestId"),
    "X-Content-Type-Options": "nosniff",
  };
  const response = new Response(text, { status, headers: all });
  c.set("finished", response);
  return response;
}

/**
 * If-Match as versions; a `W/` that a proxy added is ignored. A form, which can send no header, has
 * the version that it was filled from in a field.
 */
export function ifMatch(c: Context): number[] | "any" | undefined {
  const header = c.req.header("if-match")?.trim();
  if (header === undefined || header === "") return formMatch(c);
  if (header === "*") return "any";
  return header.split(",").map((tag) =>
    Number(tag.trim().match(/^(?:W\/)?"(\d+)(?:\.\d+)?"$/)?.[1] ?? NaN)
  );
}

function formMatch(c: Context): number[] | undefined {
  const version = c.get("body")?.form ? c.get("body").fields._match : undefined;
  return typeof version === "string" && version !== "" ? [Number(version)] : undefined;
}
