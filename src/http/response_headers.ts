// What is known of an answer's headers before there is an answer. Kept as names and values, for one
// Response to be made with all of them.
import type { Context } from "./context.ts";

export function setHeader(c: Context, name: string, value: string): void {
  const said = c.get("said");
  if (said) said[name] = value;
  else c.set("said", { [name]: value });
}

export function removeHeader(c: Context, name: string): void {
  delete c.get("said")?.[name];
}

/** Onto an answer that was made without them. */
export function applyHeaders(c: Context, { headers }: Response): void {
  for (const [name, value] of Object.entries(c.get("said") ?? {})) {
    // A cookie never takes the place of another one.
    if (name === "Set-Cookie") headers.append(name, value);
    else headers.set(name, value);
  }
}
