// Tells Nginx whether it may store an answer, and until when. Nginx sends the time at which the load
// began and the spelling of the path; without both headers the answer is not cacheable.
import { CACHE_SECONDS, isCachedPath } from "../freshness/cached_paths.ts";
import type { Context } from "./context.ts";

// Other refusals and failures may be over in a moment.
const STORABLE = [200, 404];

/** Whether all readers share the answer, so that it must not contain anything of this one. */
export function isForNginx(c: Context): boolean {
  return c.req.header("x-tallybook-load") !== undefined &&
    c.req.header("x-tallybook-target") === c.req.path &&
    isCachedPath(c.req.path, c.get("services").config.PUBLIC_URL);
}

export function allowNginxToStore(c: Context, response: Response): void {
  if (!STORABLE.includes(response.status) || !isForNginx(c)) return;
  const began = Number(c.req.header("x-tallybook-load"));
  if (!Number.isFinite(began) || began <= 0) return;
  // Nginx counts whole seconds and serves until the end of the last one, so it is told one second less.
  response.headers.set("X-Accel-Expires", `@${Math.floor(began) + CACHE_SECONDS - 1}`);
}
