// Reads a JSON or a form body; both give the same fields.
import type { Context } from "hono";
import { withTimeout } from "../async/deadline.ts";
import { AppError } from "../errors.ts";

export const BODY_TYPES = ["application/json", "application/x-www-form-urlencoded"] as const;

export type Body = { fields: Record<string, unknown>; text: string; form: boolean };

const NO_BODY: Body = { fields: {}, text: "", form: false };

export async function readBody(c: Context): Promise<Body> {
  const type = c.req.header("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type === "application/json" || type?.endsWith("+json")) return fromJson(await textOf(c));
  if (type === "application/x-www-form-urlencoded") return fromForm(await textOf(c));
  if (type === "multipart/form-data") return await fromMultipart(c);
  const text = await textOf(c);
  if (text === "") return NO_BODY;
  const detail = type === undefined ? "no Content-Type" : `Content-Type: ${type}`;
  throw new AppError("unsupported", `send JSON or a form: ${detail}`);
}

const BODY_MS = 8000;

const tooSlow = () =>
  new AppError("too_slow", `the body did not arrive within ${BODY_MS / 1000} seconds`);

/** Turns a slow or truncated body into a 4xx error: the sender caused it, not the service. */
export function arriving<Result>(reading: Promise<Result>): Promise<Result> {
  return withTimeout(BODY_MS, reading, tooSlow).catch((error) => {
    if (error instanceof AppError) throw error;
    throw new AppError("malformed", "the body is incomplete");
  });
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

async function textOf(c: Context): Promise<string> {
  const bytes = await arriving(c.req.raw.arrayBuffer());
  try {
    return utf8.decode(bytes);
  } catch {
    throw new AppError("malformed", "the body is not UTF-8");
  }
}

function fromJson(text: string): Body {
  if (text === "") return NO_BODY;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new AppError("malformed", "the body is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new AppError("malformed", "the body is not a JSON object");
  }
  return { fields: value as Record<string, unknown>, text, form: false };
}

function fromForm(text: string): Body {
  return { fields: collect(new URLSearchParams(text)), text, form: true };
}

async function fromMultipart(c: Context): Promise<Body> {
  let data: FormData;
  try {
    data = await withTimeout(BODY_MS, c.req.formData(), tooSlow);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("malformed", "the body is not multipart/form-data");
  }
  const pairs: [string, string][] = [];
  for (const [name, value] of data) if (typeof value === "string") pairs.push([name, value]);
  return { fields: collect(pairs), text: JSON.stringify(pairs), form: true };
}

/** Collects repeated fields into a list, as checkboxes send them. */
function collect(pairs: Iterable<[string, string]>): Record<string, unknown> {
  const fields = new Map<string, string | string[]>();
  for (const [name, value] of pairs) {
    const old = fields.get(name);
    fields.set(name, old === undefined ? value : [old, value].flat());
  }
  return Object.fromEntries(fields);
}
