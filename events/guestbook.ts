import { z } from "zod";
import { personal } from "./personal.ts";

/**
 * `author` is a digest of the signer's cookie, so that the log alone cannot edit an entry. What is
 * `held` waits to be approved: a new entry, or one whose author changed it.
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
