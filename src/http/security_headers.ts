// Security headers of every page: what it may load, and which sites may frame it.
import type { Context } from "./context.ts";

const POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors";

export function isHtml(response: Response): boolean {
  return response.headers.get("content-type")?.startsWith("text/html") === true;
}

export function securityHeaders(c: Context, response: Response): void {
  for (const [name, value] of Object.entries(pageHeaders(c))) response.headers.set(name, value);
}

/** Only paths below /embed/ may be framed, and only by EMBED_ORIGINS. */
export function pageHeaders(c: Context): Record<string, string> {
  const framers = c.req.path.startsWith("/embed/") ? c.get("services").config.EMBED_ORIGINS : [];
  const origins = framers.map((url) => new URL(url).origin);
  return {
    "Content-Security-Policy": `${POLICY} ${origins.join(" ") || "'none'"}`,
    ...(origins.length === 0 ? { "X-Frame-Options": "DENY" } : {}),
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
  };
}
