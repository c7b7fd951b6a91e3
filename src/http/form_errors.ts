// Renders a rejected form again, with the typed values and the errors.
import { AppError } from "../errors.ts";
import { type Context, wantsHtml } from "./context.ts";
import type { Problem } from "./problem.ts";

const RERENDERED = [
  "invalid",
  "not_found",
  "conflict",
  "stale",
  "forbidden",
  "unavailable",
  "unauthorized",
  "too_many",
];
// Never sent back to the browser.
const SECRET = ["token"];

/** The form's page; undefined if the call has no form or the page cannot be rendered now. */
export async function rerenderForm(
  c: Context,
  error: AppError,
  problem: Problem,
): Promise<string | undefined> {
  const [again, body] = [c.get("again"), c.get("body")];
  if (!again || !body?.form || !wantsHtml(c) || !RERENDERED.includes(error.code)) return undefined;
  const fields = Object.entries(body.fields).filter(([name]) => !SECRET.includes(name));
  const values = Object.fromEntries(
    fields.map(([name, value]) => [name, [value].flat().join("\n")]),
  );
  try {
    return (await again(c, { values, problem })).toString();
  } catch {
    // The form reads from the database, which may be down, too; the plain error page needs nothing.
    return undefined;
  }
}
