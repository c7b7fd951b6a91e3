// What every handler finds in its context.
import type { Context as HonoContext } from "hono";
import type { Body } from "./body.ts";
import type { Problem } from "./problem.ts";
import type { RateLimit } from "./rate_limit.ts";
import type { Services } from "./services.ts";

export type Html = { toString(): string } | Promise<{ toString(): string }>;

/** Headers of the answer that are known before it is made: see response_headers.ts. */
export type PendingHeaders = Record<string, string>;

/** What a refused form held, and what was wrong with it. */
export type RejectedForm = { values: Record<string, string>; problem: Problem };

/** Shows a form once more, when what it sent was refused. */
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
    /** The digest-free id of this visitor's cookie; undefined where none came along. */
    visitor: string | undefined;
    /** Whose answers an Idempotency-Key repeats, where a call belongs to one visitor. */
    caller: string | undefined;
    body: Body;
    /** Shows the form of this call once more, when what it sent was refused. */
    again: FormRerender | undefined;
    /** Headers of the answer that are known before it is made: see said.ts. */
    said: PendingHeaders | undefined;
    /** This very answer says everything that the frame would have added. */
    finished: Response | undefined;
    /** The path as its endpoint names it: what metrics count by. */
    route: string | undefined;
  };
};

export type Context = HonoContext<Env>;

/** Whether a page is what its caller likes best; of two liked as much, the one named first. */
export function wantsHtml(c: Context): boolean {
  const accept = c.req.header("accept");
  // Most that name HTML are browsers, which name it first, and nothing of ours beside it.
  if (accept === undefined || !/text\/html/i.test(accept)) return false;
  const html = liking(accept, /(?:^|,)\s*text\/html\s*(?:;([^,]*))?(?=,|$)/i);
  const json = liking(accept, /(?:^|,)\s*application\/json\s*(?:;([^,]*))?(?=,|$)/i);
  return html.q > 0 && (html.q > json.q || html.q === json.q && html.at < json.at);
}

function liking(accept: string, type: RegExp): { q: number; at: number } {
  const found = type.exec(accept);
  if (!found) return { q: 0, at: Infinity };
  const q = /(?:^|;)\s*q=([\d.]+)/i.exec(found[1] ?? "")?.[1];
  return { q: q === undefined ? 1 : Number(q), at: found.index };
}
