import { z } from "zod";
import { personal } from "./personal.ts";

/**
 * `author` is a digest of the signer's cookie, so that the log alone cannot edit an entry. A `held`
 * entry waits to be approved: it is new, or its author changed it.
 */
export const guestbook = {
  EntrySigned: z.strictObject({
    id: z.int().positive(),
    name: personal(z.string()),
    message: personal(z.string()),
    author: z.string().nullable(),
    held: z.boolean(),
  }),
  EntryEdited: z.strictObject({
    id: z.int().positive(),
    name: personal(z.string().optional()),
    message: personal(z.string().optional()),
    held: z.boolean().optional(),
  }),
  EntryHidden: z.strictObject({ id: z.int().positive() }),
  EntryRestored: z.strictObject({ id: z.int().positive() }),
  EntryErased: z.strictObject({ id: z.int().positive() }),
};
