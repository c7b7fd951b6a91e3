// A form that was refused is shown again, with what was typed and what is to mend.
import { AppError } from "../errors.ts";
import { type Context, wantsHtml } from "./context.ts";
import type { Problem } from "./problem.ts";

const MENDABLE = [
  "invalid",
  "not_found",
  "conflict",
  "stale",
  "forbidden",
  "unavailable",
  "unauthorized",
  "too_many",
];
// Never sent back, however it was refused.
const SECRET = ["token"];

/** The form's page; undefined where there is none, or where it cannot be made just now. */
export async function formAgain(
  c: Context,
  error: AppError,
  problem: Problem,
): Promise<string | undefined> {
  const [again, body] = [c.get("again"), c.get("body")];
  if (!again || !body?.form || !wantsHtml(c) || !MENDABLE.includes(error.code)) return undefined;
  const fields = Object.entries(body.fields).filter(([name]) => !SECRET.includes(name));
  const values = Object.fromEntries(
    fields.map(([name, value]) => [name, [value].flat().join("\n")]),
  );
  try {
    return (await again(c, { values, problem })).toString();
  } catch {
    // What the form needs is away, too.
    return undefined;
  }
}
