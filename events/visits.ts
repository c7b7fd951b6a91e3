import { z } from "zod";

/** One event for many views: Redis counts them, and they are written every few seconds. */
export const visits = {
  VisitsCounted: z.strictObject({
    page: z.string(),
    count: z.int().positive(),
    /** The total that was answered, for a repeat with the same Idempotency-Key. */
    shown: z.int().positive().optional(),
  }),
};
