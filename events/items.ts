import { z } from "zod";

export const items = {
  ItemCreated: z.strictObject({
    id: z.int().positive(),
    name: z.string(),
    description: z.string(),
  }),
  ItemChanged: z.strictObject({
    id: z.int().positive(),
    name: z.string().optional(),
    description: z.string().optional(),
  }),
  ItemDeleted: z.strictObject({ id: z.int().positive() }),
};
