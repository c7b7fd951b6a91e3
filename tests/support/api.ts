// A client of the API that keeps its cookies as a browser does, and no other state.

export type ApiResponse = {
  status: number;
  headers: Headers;
  text: string;
  /** The body as JSON, or a part of it by its path: `get("options.0.votes")`. */
  get(path?: string): unknown;
};

export type ApiRequest = {
  method?: string;
  headers?: Record<string, string>;
  json?: unknown;
  form?: Record<string, string> | [string, string][];
  body?: BodyInit;
};

export class ApiClient {
  readonly cookies = new Map<string, string>();

  constructor(readonly url: string, readonly token?: string) {}

  async ask(
    path: string,
    { method, headers = {}, json, form, body }: ApiRequest = {},
  ): Promise<ApiResponse> {
    const sent = new Headers(headers);
    if (this.token && !sent.has("authorization")) sent.set("authorization", `Bearer ${this.token}`);
    if (this.cookies.size > 0 && !sent.has("cookie")) {
      sent.set("cookie", [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; "));
    }
    if (json !== undefined && !sent.has("content-type")) {
      sent.set("content-type", "application/json");
    }
    const response = await fetch(new URL(path, this.url), {
      method: method ?? (json || form || body ? "POST" : "GET"),
      headers: sent,
      body: json !== undefined ? JSON.stringify(json) : form ? new URLSearchParams(form) : body,
      redirect: "manual",
    });
    for (const cookie of response.headers.getSetCookie()) this.#keep(cookie);
    return answerOf(response, await response.text());
  }

  get(path: string, headers?: Record<string, string>): Promise<ApiResponse> {
    return this.ask(path, { headers });
  }

  post(path: string, json: unknown = {}, headers?: Record<string, string>): Promise<ApiResponse> {
    return this.ask(path, { method: "POST", json, headers });
  }

  put(path: string, json: unknown, headers?: Record<string, string>): Promise<ApiResponse> {
    return this.ask(path, { method: "PUT", json, headers });
  }

  delete(path: string, headers?: Record<string, string>): Promise<ApiResponse> {
    return this.ask(path, { method: "DELETE", headers });
  }

  form(
    path: string,
    form: ApiRequest["form"],
    headers?: Record<string, string>,
  ): Promise<ApiResponse> {
    return this.ask(path, { method: "POST", form, headers });
  }

  #keep(cookie: string): void {
    const [pair = ""] = cookie.split(";");
    const [name = "", ...value] = pair.split("=");
    if (/max-age=0/i.test(cookie)) this.cookies.delete(name);
    else this.cookies.set(name, value.join("="));
  }
}

function answerOf({ status, headers }: Response, text: string): ApiResponse {
  return {
    status,
    headers,
    text,
    get(path = "") {
      let value: unknown = JSON.parse(text);
      for (const name of path.split(".").filter((part) => part !== "")) {
        if (typeof value !== "object" || value === null) return undefined;
        value = Object.entries(value).find(([key]) => key === name)?.[1];
      }
      return value;
    },
  };
}

export function idOf(answer: ApiResponse): number {
  return Number(answer.get("id"));
}

/** The fields that a 422 names. */
export function fieldsOf(answer: ApiResponse): string[] {
  const errors = answer.get("errors");
  if (!Array.isArray(errors)) return [];
  return errors.map((error: { field: string }) => error.field);
}
