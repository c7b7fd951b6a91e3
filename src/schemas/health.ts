// The answer of /health.
import { z } from "zod";

const state = z.object({
  name: z.string(),
  position: z.int(),
  lag: z.int(),
  error: z.string().nullable(),
});
export const healthSchema = z.object({
  status: z.enum(["healthy", "degraded", "unhealthy"]),
  redis: z.enum(["ok", "down"]),
  postgres: z.enum(["ok", "down"]),
  cache: z.enum(["redis", "memory", "none"]).optional(),
  position: z.int().optional(),
  visible: z.int().optional(),
  projections: z.array(state).optional(),
  /** Streams whose text cannot be decrypted with the key that is stored. */
  unreadable: z.array(z.string()).optional(),
});

export type Health = z.infer<typeof healthSchema>;
