// Who signs, changes or takes away an entry, as the guestbook's commands know them.
import type { Asker } from "../commands/guestbook.ts";
import type { Context } from "../http/context.ts";
import { digestFor } from "../http/visitor_cookie.ts";
import { clock } from "../store/database_clock.ts";

/** A visitor as the guestbook sees them. */
export function authorOf(visitor: string | undefined): string | undefined {
  return visitor && digestFor("guestbook", visitor);
}

/** Whether what this caller writes waits to be approved. */
export function isHeld(c: Context): boolean {
  return c.get("services").config.MODERATION === "before" && !c.get("admin");
}

export async function asker(c: Context): Promise<Asker> {
  const now = await clock(c.get("services").sql);
  return { admin: c.get("admin"), author: authorOf(c.get("visitor")), now };
}
