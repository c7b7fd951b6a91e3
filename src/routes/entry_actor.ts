// The actor of a guestbook command, made from a request.
import type { Actor } from "../commands/guestbook.ts";
import type { Context } from "../http/context.ts";
import { digestFor } from "../http/visitor_cookie.ts";
import { clock } from "../store/database_clock.ts";

/** The digest by which the guestbook knows a visitor. */
export function authorOf(visitor: string | undefined): string | undefined {
  return visitor && digestFor("guestbook", visitor);
}

/** Whether an entry by this caller must be approved before it is shown. */
export function isHeld(c: Context): boolean {
  return c.get("services").config.MODERATION === "before" && !c.get("admin");
}

export async function asker(c: Context): Promise<Actor> {
  const now = await clock(c.get("services").sql);
  return { admin: c.get("admin"), author: authorOf(c.get("visitor")), now };
}
