// The context that every handler receives.
import type { Context as HonoContext } from "hono";
import type { Body } from "./body.ts";
import type { Problem } from "./problem.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { Services } from "./services.ts";

export type Html = { toString(): string } | Promise<{ toString(): string }>;

/** Headers that are set before the response exists: see response_headers.ts. */
export type PendingHeaders = Record<string, string>;

/** The values of a rejected form, and why it was rejected. */
export type RejectedForm = { values: Record<string, string>; problem: Problem };

/** Renders a rejected form again, with its values and errors. */
export type FormRerender = (c: Context, refused: RejectedForm) => Html;

export type Env = {
  /** The address at the other end of the connection. */
  Bindings: { peer: string };
  Variables: {
    services: Services;
    limits: RateLimit;
    requestId: string;
    client: string;
    admin: boolean;
    /** The id in this visitor's cookie, not yet a digest; undefined if the request has no cookie. */
    visitor: string | undefined;
    /** The scope of an Idempotency-Key, where a call belongs to one visitor. */
    caller: string | undefined;
    body: Body;
    /** Renders this call's form again after its input was rejected. */
    again: FormRerender | undefined;
    /** Headers that are set before the response exists: see response_headers.ts. */
    said: PendingHeaders | undefined;
    /** A response that already has every header, so that the pipeline adds none. */
    finished: Response | undefined;
    /** The path pattern of the endpoint, used as the label in metrics. */
    route: string | undefined;
  };
};

export type Context = HonoContext<Env>;

/** Whether the client prefers HTML to JSON; at equal quality, the type listed first wins. */
export function wantsHtml(c: Context): boolean {
  const accept = c.req.header("accept");
  // Cheap exit for API clients; nearly every client that lists HTML is a browser and lists it first.
  if (accept === undefined || !/text\/html/i.test(accept)) return false;
  const html = preference(accept, /(?:^|,)\s*text\/html\s*(?:;([^,]*))?(?=,|$)/i);
  const json = preference(accept, /(?:^|,)\s*application\/json\s*(?:;([^,]*))?(?=,|$)/i);
  return html.q > 0 && (html.q > json.q || html.q === json.q && html.at < json.at);
}

function preference(accept: string, type: RegExp): { q: number; at: number } {
  const found = type.exec(accept);
  if (!found) return { q: 0, at: Infinity };
  const q = /(?:^|;)\s*q=([\d.]+)/i.exec(found[1] ?? "")?.[1];
  return { q: q === undefined ? 1 : Number(q), at: found.index };
}
