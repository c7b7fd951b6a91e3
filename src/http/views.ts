// Counts page views where no access log does. The guestbook's handler counts its own, because its
// answer contains the number.
import { isPage } from "../visits/access_log_line.ts";
import { type Context, wantsHtml } from "./context.ts";
import { isHtml } from "./security_headers.ts";

export function countView(c: Context, response: Response): void {
  const { visits, config } = c.get("services");
  if (config.ACCESS_LOG !== undefined || c.req.method !== "GET") return;
  if (c.req.path === "/" || !isPage(c.req.path)) return;
  if (isSeen(c, response)) void visits.count(c.req.path);
}

/** A 304 to a browser is a view, too. */
function isSeen(c: Context, response: Response): boolean {
  return response.status === 200 ? isHtml(response) : response.status === 304 && wantsHtml(c);
}
