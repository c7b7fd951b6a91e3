// Response schemas of the guestbook.
import { z } from "zod";
import { id, isoDate } from "./fields.ts";
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
