// One call of the API: its request and its replies. The same zod schemas validate requests and
// generate /openapi.json, so the two cannot differ.
import type { Hono } from "hono";
import { z } from "zod";
import { AppError, type FieldError } from "../errors.ts";
import type { FormRerender } from "./context.ts";
import { type Body, readBody } from "./body.ts";
import type { Context, Env } from "./context.ts";

type Method = "get" | "post" | "put" | "delete";

/** The body of a reply: a schema for JSON, or another media type. */
export type Reply = { description: string; schema?: z.ZodType; type?: string };

export type Access = "open" | "admin" | "guarded";

export type Spec<
  Params extends z.ZodType = z.ZodType,
  Query extends z.ZodType = z.ZodType,
  Fields extends z.ZodType = z.ZodType,
> = {
  method: Method;
  path: string;
  summary: string;
  tag: string;
  /** `guarded` asks for the admin token only where ACCESS=guarded. */
  access?: Access;
  params?: Params;
  query?: Query;
  body?: Fields;
  replies: Record<number, Reply>;
  /** Renders the form again after its input was rejected. */
  again?: FormRerender;
};

export type Input<Params extends z.ZodType, Query extends z.ZodType, Fields extends z.ZodType> = {
  params: z.output<Params>;
  query: z.output<Query>;
  body: z.output<Fields>;
};

export type Endpoint = {
  spec: Spec;
  handle(c: Context): Promise<Response>;
};

const nothing = z.object({});

export function endpoint<
  Params extends z.ZodType = typeof nothing,
  Query extends z.ZodType = typeof nothing,
  Fields extends z.ZodType = typeof nothing,
>(
  spec: Spec<Params, Query, Fields>,
  handler: (c: Context, input: Input<Params, Query, Fields>) => Response | Promise<Response>,
): Endpoint {
  return {
    spec,
    async handle(c) {
      c.set("route", spec.path);
      c.set("again", spec.again);
      checkAccess(c, spec.access ?? "open");
      if (spec.method === "put" && c.get("body") === undefined) c.set("body", await readBody(c));
      return await handler(c, inputOf(c, spec));
    },
  };
}

/** An id consists of digits, so that `/entries/mine` does not match `/entries/:id`. */
export function routeOf(path: string): string {
  return path.replace(":id", ":id{[0-9]+}");
}

export type Handle = (c: Context) => Response | Promise<Response>;

export type Registration = {
  endpoints: Endpoint[];
  inFrame: (handle: Handle) => Handle;
  /** Answers a POST that no endpoint of this path accepts. */
  elsewhere: Handle;
};

/** Registers all methods of one path. An HTML form can only POST, so `_method` names PUT or DELETE. */
export function register(
  app: Hono<Env>,
  path: string,
  { endpoints, inFrame, elsewhere }: Registration,
): void {
  const by = new Map(endpoints.map((one) => [one.spec.method, one]));
  for (const [method, one] of by) {
    if (method !== "post") app.on(method.toUpperCase(), routeOf(path), inFrame(one.handle));
  }
  const post = by.get("post");
  const overridden = (body: Body) => {
    const method = String(body.fields._method).toLowerCase();
    return method === "put" || method === "delete" ? by.get(method) : undefined;
  };
  if (!post && !by.has("put") && !by.has("delete")) return;
  const handle = async (c: Context) => {
    c.set("route", path);
    const body = await readBody(c);
    c.set("body", body);
    const one = body.form && "_method" in body.fields ? overridden(body) : post;
    return await (one ? one.handle(c) : elsewhere(c));
  };
  app.post(routeOf(path), inFrame(handle));
}

function inputOf<Params extends z.ZodType, Query extends z.ZodType, Fields extends z.ZodType>(
  c: Context,
  spec: Spec<Params, Query, Fields>,
): Input<Params, Query, Fields> {
  const params = spec.params?.safeParse(c.req.param());
  if (params?.success === false) throw new AppError("not_found", "no such address");
  const query = spec.query ? checked(spec.query, c.req.query()) : {};
  const body = spec.body ? checked(spec.body, c.get("body").fields) : {};
  return { params: params?.data ?? {}, query, body } as Input<Params, Query, Fields>;
}

// Caches what a schema makes of an empty query, because most reads have none.
const defaults = new WeakMap<z.ZodType, unknown>();

function checked(schema: z.ZodType, given: Record<string, unknown>): unknown {
  const isEmpty = hasNone(given);
  if (isEmpty && defaults.has(schema)) return defaults.get(schema);
  const result = schema.safeParse(given);
  if (result.success && isEmpty) defaults.set(schema, Object.freeze(result.data));
  if (result.success) return result.data;
  throw new AppError("invalid", "some fields are not right", { fields: fieldErrors(result.error) });
}

function hasNone(fields: Record<string, unknown>): boolean {
  for (const _ in fields) return false;
  return true;
}

export function fieldErrors(error: z.ZodError): FieldError[] {
  return error.issues.map((issue) => ({
    field: issue.path.join(".") ||
      (issue.code === "unrecognized_keys" ? issue.keys.join(", ") : ""),
    message: issue.message,
  }));
}

function checkAccess(c: Context, access: Access): void {
  if (access === "open" || c.get("admin")) return;
  if (access === "guarded" && c.get("services").config.ACCESS === "open") return;
  throw new AppError("unauthorized", "this call needs the admin token");
}
