// Serves the scripts, styles and icons of the pages.
import type { Hono } from "hono";
import type { Context, Env } from "../http/context.ts";
import type { Handle } from "../http/endpoint.ts";
import { shareWithAll } from "../http/access.ts";
import { assets } from "../pages/assets.ts";

export function assetRoutes(app: Hono<Env>, inFrame: (handle: Handle) => Handle): void {
  for (const { path, type, text } of assets.values()) {
    const serve = (c: Context) => {
      c.header("Cache-Control", "public, max-age=31536000, immutable");
      shareWithAll(c);
      return c.body(text, 200, { "content-type": type });
    };
    app.get(path, inFrame(serve));
  }
}
