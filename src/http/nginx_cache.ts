// Tells Nginx whether it may store an answer, and until when. It says when it began to load the page
// and by which spelling it was asked for; without these the answer is not for its cache.
import { isCachedPath } from "../freshness/cached_paths.ts";
import type { Context } from "./context.ts";

/**
 * An answer is served from the cache for at most so long from the beginning of its load. Nginx counts in
 * whole seconds and serves to the end of the last one, so the time it is given is one less.
 */
export const CACHE_SECONDS = 5;

// What is answered by a refusal or a failure may be right again in a moment.
const STORABLE = [200, 404];

/** Whether the answer is to be shared by all readers, so that nothing of this one may show in it. */
export function isForNginx(c: Context): boolean {
  return c.req.header("x-tallybook-load") !== undefined &&
    c.req.header("x-tallybook-target") === c.req.path &&
    isCachedPath(c.req.path, c.get("services").config.PUBLIC_URL);
}

export function allowNginxToStore(c: Context, response: Response): void {
  if (!STORABLE.includes(response.status) || !isForNginx(c)) return;
  const began = Number(c.req.header("x-tallybook-load"));
  if (!Number.isFinite(began) || began <= 0) return;
  response.headers.set("X-Accel-Expires", `@${Math.floor(began) + CACHE_SECONDS - 1}`);
}
