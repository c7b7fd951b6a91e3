// An endpoint that runs one command on the record in its path and confirms it. Most actions of the
// admin desk and every DELETE have this shape.
import type { z } from "zod";
import type { Decision } from "../commands/decision.ts";
import type { Context } from "./context.ts";
import { type Access, endpoint, type Reply } from "./endpoint.ts";
import { changed, idParams } from "../schemas/fields.ts";
import { sendCommandResult } from "./respond.ts";
import { handleCommand, type ReadStream } from "./handle_command.ts";

type Verb<Fields extends z.ZodType> = {
  method: "post" | "delete";
  path: string;
  summary: string;
  tag: string;
  access?: Access;
  body?: Fields;
  replies?: Record<number, Reply>;
  /** The `message` of the answer, in one word. */
  word: string;
  /** Where a form is redirected to. */
  next: string | ((id: number) => string);
};

type Asked<Fields extends z.ZodType> = {
  c: Context;
  id: number;
  body: z.output<Fields>;
};

/** The reply of an endpoint that honours If-Match. */
export const STALE: Record<number, Reply> = { 412: { description: "Changed since it was read" } };

export function commandEndpoint<Fields extends z.ZodType>(
  { word, next, replies, ...spec }: Verb<Fields>,
  decide: (read: ReadStream, asked: Asked<Fields>) => Promise<Decision>,
) {
  return endpoint({
    ...spec,
    params: idParams,
    replies: {
      200: { description: word, schema: changed },
      303: { description: `${word}, by a form` },
      ...replies,
    },
  }, async (c, { params: { id }, body }) => {
    await handleCommand(c, (read) => decide(read, { c, id, body }));
    const location = typeof next === "string" ? next : next(id);
    return sendCommandResult(c, { json: { id, message: word }, location });
  });
}
