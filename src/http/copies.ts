// What the service and its Nginx say to each other about stored answers. A reader who was not
// answered from the cache is told to the refresher; its own request is answered with a mark, by
// which it will know the copy again, and with leave to store it.
import { copyOf, isStored, isWish } from "../refresh/copies.ts";
import type { Context } from "./context.ts";

// 403 and 404 only ever take the place of what was there: nothing else is asked for anew.
const STORABLE = [200, 403, 404];
// Whoever has the answer already missed the copy as well.
const WANTED = [200, 304];

export function markCopy(c: Context, response: Response): void {
  const { asked, config } = c.get("services");
  if (asked === undefined || !isStored(c.req.path, config.PUBLIC_URL)) return;
  const wish = c.req.header("x-tallybook-missed");
  if (isWish(wish) && WANTED.includes(response.status)) asked.note(copyOf(wish, c.req.path));
  const mark = c.req.header("x-tallybook-copy");
  if (mark === undefined) return;
  const life = c.req.header("x-tallybook-life");
  if (life === undefined || !/^[1-9]$/.test(life)) return;
  if (!STORABLE.includes(response.status)) return;
  response.headers.set("Tallybook-Copy", mark);
  response.headers.set("X-Accel-Expires", life);
}
