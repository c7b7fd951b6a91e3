// Generates the OpenAPI document from the schemas that validate requests.
import { z } from "zod";
import { STATUS } from "../errors.ts";
import { BODY_TYPES } from "./body.ts";
import type { Endpoint, Reply, Spec } from "./endpoint.ts";
import { problemSchema } from "./problem.ts";

type Json = Record<string, unknown>;

export function openapiOf(endpoints: Endpoint[], title: string): Json {
  const paths: Record<string, Json> = {};
  for (const { spec } of endpoints) {
    const path = spec.path.replaceAll(/:(\w+)(\{[^}]*\})?/g, "{$1}");
    paths[path] = { ...paths[path], [spec.method]: operationOf(spec) };
  }
  return {
    openapi: "3.1.0",
    info: { title, version: "1.0.0", description: "Guestbook, polls, users, items and visits." },
    paths,
    components: {
      schemas: { Problem: schemaOf(problemSchema, "output") },
      securitySchemes: { admin: { type: "http", scheme: "bearer" } },
    },
  };
}

function operationOf(spec: Spec): Json {
  return {
    summary: spec.summary,
    tags: [spec.tag],
    operationId: `${spec.method} ${spec.path}`.replaceAll(/\W+/g, "_"),
    ...(spec.access === "admin" ? { security: [{ admin: [] }] } : {}),
    parameters: [
      ...parametersOf(spec.params, "path"),
      ...parametersOf(spec.query, "query"),
      ...headersOf(spec),
    ],
    ...(spec.body ? { requestBody: bodyOf(spec.body) } : {}),
    responses: { ...mapReplies(spec.replies), ...problemsOf(spec) },
  };
}

function parametersOf(schema: z.ZodType | undefined, place: "path" | "query"): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = schemaOf(schema, "input") as {
    properties?: Json;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    schema: property,
  }));
}

/** An endpoint that can answer 412 takes If-Match. */
function headersOf({ replies }: Spec): Json[] {
  if (!replies[STATUS.stale]) return [];
  const description = "The ETag of what is to be changed: refused with 412 if it moved on";
  return [{ name: "If-Match", in: "header", required: false, description, schema: anyText }];
}

const anyText = { type: "string" };

function bodyOf(schema: z.ZodType): Json {
  const content = Object.fromEntries(
    BODY_TYPES.map((type) => [type, { schema: schemaOf(schema, "input") }]),
  );
  return { required: true, content };
}

function mapReplies(replies: Record<number, Reply>): Json {
  return Object.fromEntries(
    Object.entries(replies).map(([status, { description, schema, type }]) => {
      const media = type ?? (schema ? "application/json" : undefined);
      const body = schema ? { schema: schemaOf(schema, "output") } : {};
      return [status, { description, ...(media ? { content: { [media]: body } } : {}) }];
    }),
  );
}

function problemsOf(spec: Spec): Json {
  // Any call may carry a wrong token, which is answered 401 and, after too many, 429.
  const codes: (keyof typeof STATUS)[] = ["unavailable", "unauthorized", "too_many"];
  if (spec.params) codes.push("not_found");
  if (spec.query || spec.body) codes.push("invalid");
  if (spec.method === "post" || spec.method === "put") {
    codes.push("malformed", "forbidden", "too_large", "unsupported", "invalid");
  }
  if (spec.method === "delete") codes.push("forbidden");
  return Object.fromEntries(
    [...new Set(codes)].filter((code) => !spec.replies[STATUS[code]]).map((code) => [
      STATUS[code],
      {
        description: code.replaceAll("_", " "),
        content: {
          "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } },
        },
      },
    ]),
  );
}

export function schemaOf(schema: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _, id: __, ...json } = z.toJSONSchema(schema, {
    io,
    unrepresentable: "any",
    cycles: "ref",
  }) as Json;
  return json;
}
