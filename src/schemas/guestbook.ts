// What an entry looks like from outside, and who asks for it.
import { z } from "zod";
import type { Asker } from "../commands/guestbook.ts";
import type { Context } from "../http/context.ts";
import { id, isoDate } from "../http/fields.ts";
import { digestFor } from "../http/visitor_cookie.ts";
import { clock } from "../store/database_clock.ts";
import { cacheFactsSchema } from "./cache.ts";
import type { Entry } from "$projections/guestbook.ts";

export const entrySchema = z.object({
  id,
  name: z.string(),
  message: z.string(),
  created_at: isoDate,
});

export const homeSchema = z.object({
  message: z.string(),
  visits: z.int(),
  total: z.int(),
  entries: z.array(entrySchema),
  cache: cacheFactsSchema,
});

export type Home = z.infer<typeof homeSchema> & { next: number | null };

export const mineSchema = entrySchema.extend({
  state: z.string(),
  editable: z.boolean(),
  version: z.int(),
});

export type Mine = z.infer<typeof mineSchema>;

export function publicEntry({ id, name, message, created_at }: Entry): Entry {
  return { id, name, message, created_at };
}

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
