// Problem details (RFC 9457): one shape for every error. Nothing internal leaks.
import { z } from "zod";
import { AppError, type Code, STATUS } from "../errors.ts";

const TITLES: Record<Code, string> = {
  malformed: "The request cannot be read",
  unauthorized: "The admin token is needed",
  forbidden: "Not allowed",
  not_found: "Not found",
  not_allowed: "Method not allowed",
  not_acceptable: "Not available in that form",
  too_slow: "The request took too long to arrive",
  conflict: "In conflict with what is there",
  gone: "Gone",
  stale: "Changed since you read it",
  too_large: "Too large",
  unsupported: "This kind of body is not understood",
  invalid: "Some fields are not right",
  too_many: "Too many requests",
  unavailable: "Not available just now",
};

export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  request_id: z.string().optional(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
}).meta({ id: "Problem" });

export type Problem = z.infer<typeof problemSchema>;

export function problemOf(error: AppError, requestId?: string): Problem {
  return {
    type: `/docs#${error.code}`,
    title: TITLES[error.code],
    status: STATUS[error.code],
    detail: error.message,
    request_id: requestId,
    errors: error.detail.fields,
  };
}

export function problemHeaders(error: AppError): Record<string, string> {
  const headers: Record<string, string> = { "cache-control": "no-store" };
  if (error.detail.retryAfter !== undefined) {
    headers["retry-after"] = String(error.detail.retryAfter);
  }
  if (error.detail.allow) headers.allow = error.detail.allow.join(", ");
  if (error.code === "unauthorized") headers["www-authenticate"] = 'Bearer realm="tallybook"';
  return headers;
}

/** Shown for an unknown error, whose details are only logged, with the request id. */
export const INTERNAL = { type: "about:blank", title: "Something went wrong here", status: 500 };
