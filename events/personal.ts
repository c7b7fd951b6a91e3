// Marks a field as personal: the store encrypts it with a key of its own entry or person.
import { z } from "zod";

export function personal<Schema extends z.ZodType>(schema: Schema): Schema {
  return schema.meta({ personal: true });
}

export function personalFields(schema: z.ZodObject): string[] {
  return Object.keys(schema.shape).filter((name) => schema.shape[name]?.meta()?.personal === true);
}
