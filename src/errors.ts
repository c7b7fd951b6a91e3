// One error class for every error that a caller may see. Only this file knows HTTP statuses.

export const STATUS = {
  malformed: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  not_allowed: 405,
  not_acceptable: 406,
  too_slow: 408,
  conflict: 409,
  gone: 410,
  stale: 412,
  too_large: 413,
  unsupported: 415,
  invalid: 422,
  too_many: 429,
  unavailable: 503,
} as const;

export type Code = keyof typeof STATUS;

/** One field of a request that was refused, as problem+json lists it. */
export type FieldError = { field: string; message: string };

export type Detail = {
  fields?: FieldError[];
  /** For version conflicts: the stream, and its actual version. */
  stream?: string;
  actual?: number;
  allow?: string[];
  retryAfter?: number;
};

export class AppError extends Error {
  override readonly name = "AppError";
  constructor(
    readonly code: Code,
    message: string,
    readonly detail: Detail = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** The message with its causes, for logs and for tasks; a visitor sees the message alone. */
export function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reason(error.cause)}`;
}
