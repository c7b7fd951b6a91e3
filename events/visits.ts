import { z } from "zod";

/** One event for many views: they are counted in Redis and written down every few seconds. */
export const visits = {
  VisitsCounted: z.strictObject({
    page: z.string(),
    count: z.int().positive(),
    /** The total that was answered, where an Idempotency-Key may ask for that answer again. */
    shown: z.int().positive().optional(),
  }),
};
