// Hit rates of the caches, as the guestbook and the desk show them.
import { z } from "zod";

const rateSchema = z.object({ hits: z.int(), misses: z.int(), rate: z.number() });

export const cacheFactsSchema = rateSchema.extend({ nginx: rateSchema });

export type Rate = z.infer<typeof rateSchema>;
export type CacheFacts = z.infer<typeof cacheFactsSchema>;
