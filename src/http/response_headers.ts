// Collects headers before the response exists, so that one Response is built with all of them.
import type { Context } from "./context.ts";

export function setHeader(c: Context, name: string, value: string): void {
  const said = c.get("said");
  if (said) said[name] = value;
  else c.set("said", { [name]: value });
}

export function removeHeader(c: Context, name: string): void {
  delete c.get("said")?.[name];
}

/** Adds the collected headers to a response that was built without them. */
export function applyHeaders(c: Context, { headers }: Response): void {
  for (const [name, value] of Object.entries(c.get("said") ?? {})) {
    // A response may set several cookies.
    if (name === "Set-Cookie") headers.append(name, value);
    else headers.set(name, value);
  }
}
