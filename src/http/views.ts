// Counts who saw a page where no access log does. The guestbook counts its own, as it shows the
// number in the same breath.
import { isPage } from "../access/line.ts";
import type { Context } from "./context.ts";

export function countView(c: Context): void {
  const { visits, config } = c.var.services;
  if (config.ACCESS_LOG !== undefined || c.req.method !== "GET" || c.res.status !== 200) return;
  if (c.req.path === "/" || !isPage(c.req.path)) return;
  if (c.res.headers.get("content-type")?.startsWith("text/html")) void visits.count(c.req.path);
}
