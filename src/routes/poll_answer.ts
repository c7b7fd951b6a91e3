// The cached query of one poll, with which every call about a poll begins.
import type { CachedValue } from "../cache/backend.ts";
import { AppError } from "../errors.ts";
import type { Context } from "../http/context.ts";
import { findPoll, type Poll } from "$projections/polls.ts";

export function pollAnswer(c: Context, id: number): Promise<CachedValue> {
  return c.get("services").cache.read({
    key: `poll:${id}`,
    tags: [`poll:${id}`],
    projection: "polls",
    load: (sql) => findPoll(sql, id),
  });
}

export async function pollOr404(
  c: Context,
  id: number,
): Promise<{ poll: Poll; answer: CachedValue }> {
  const answer = await pollAnswer(c, id);
  const poll = JSON.parse(answer.text) as Poll | null;
  if (!poll) throw new AppError("not_found", "no such poll");
  return { poll, answer };
}
