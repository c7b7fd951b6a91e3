// Responses from one set of data: HTML where the Accept header prefers it, else JSON.
import type { CachedValue } from "../cache/backend.ts";
import { AppError } from "../errors.ts";
import { isKnown, tagOf } from "./etag.ts";
import { type Context, type Html, wantsHtml } from "./context.ts";
import { SHARED } from "./access.ts";
import { pageHeaders } from "./security_headers.ts";
import { setHeader } from "./response_headers.ts";

/** Clients may store an answer and must revalidate it; Nginx follows X-Accel-Expires instead. */
const REVALIDATE = "no-cache";

type QueryResponse<Data> = {
  page?: (data: Data) => Html;
  etag?: (data: Data) => string;
  link?: (data: Data) => string | undefined;
  json?: (data: Data) => unknown;
  /** Names what the rendering depends on besides the data, such as whether the reader is an admin. */
  variant?: string;
  /** Renders HTML whatever the Accept header prefers, for frames. */
  onlyPage?: true;
};

/** A rendering with all headers except those that differ between readers. */
type Rendered = { text: string; headers: Record<string, string> & { ETag: string } };

// Keeps renderings for as long as the cache returns the same CachedValue object.
const rendered = new WeakMap<CachedValue, Map<string, Rendered>>();

/** Sends the result of a query; `null` becomes a 404. */
export async function sendQuery<Data>(
  c: Context,
  answer: CachedValue,
  how: QueryResponse<Data>,
): Promise<Response> {
  if (answer.text === "null") throw new AppError("not_found", "no such address");
  const asksForPage = wantsHtml(c);
  const html = how.page !== undefined && (how.onlyPage === true || asksForPage);
  // Several paths use the same cached value, each with a rendering of its own.
  const key = `${c.get("route")} ${html ? "html" : "json"} ${how.variant ?? ""}`;
  const { text, headers } = rendered.get(answer)?.get(key) ??
    await render(answer, how, { html, key });
  return complete(c, text, {
    ...headers,
    ...c.get("said"),
    "X-Request-Id": c.get("requestId"),
    ...(html || asksForPage ? pageHeaders(c) : {}),
  });
}

/** Builds the response in one step, as a 304 if the client has it: the hot path of nearly every read. */
function complete(c: Context, text: string, headers: Rendered["headers"]): Response {
  const isUnchanged = isKnown(c, headers.ETag);
  if (isUnchanged) delete headers["Content-Type"];
  const [body, status] = isUnchanged ? [null, 304] as const : [text, 200] as const;
  const response = new Response(body, { status, headers });
  c.set("finished", response);
  return response;
}

type As = { html: boolean; key: string };

async function render<Data>(
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
 * The answer to a write: redirects a form, sends JSON to an API client. Handlers add headers with
 * setHeader(): c.header() has no effect here, because the response is built in one step.
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
  // The pipeline adds a page's headers.
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
 * If-Match as versions; ignores a `W/` that a proxy added. A form cannot send the header, so its
 * field `_match` holds the version that it was filled from.
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
