// How well the caches do, as the guestbook and the desk tell it.
import { z } from "zod";

const rateSchema = z.object({ hits: z.int(), misses: z.int(), rate: z.number() });

export const cacheFactsSchema = rateSchema.extend({ nginx: rateSchema });

export type Rate = z.infer<typeof rateSchema>;
export type CacheFacts = z.infer<typeof cacheFactsSchema>;
