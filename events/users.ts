import { z } from "zod";
import { personal } from "./personal.ts";

/** `claim` names the stream that holds the e-mail address, so that a change can release it. */
export const users = {
  UserRegistered: z.strictObject({
    id: z.int().positive(),
    name: personal(z.string()),
    email: personal(z.string()),
    claim: z.string(),
  }),
  UserChanged: z.strictObject({
    id: z.int().positive(),
    name: personal(z.string().optional()),
    email: personal(z.string().optional()),
    claim: z.string().optional(),
  }),
  UserDeleted: z.strictObject({ id: z.int().positive() }),
  UserErased: z.strictObject({ id: z.int().positive() }),
  EmailClaimed: z.strictObject({ user: z.int().positive() }),
  EmailReleased: z.strictObject({ user: z.int().positive() }),
};
