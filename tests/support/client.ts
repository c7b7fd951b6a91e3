// An HTTP client with connections and cookies of its own, as one browser has. Shows the cache status and position.

export type CacheStatusResponse = {
  status: number;
  headers: Headers;
  text: string;
  cache: string | null;
  position: number;
};

export class CacheStatusClient implements Disposable {
  readonly #http = Deno.createHttpClient({ poolMaxIdlePerHost: 2 });
  readonly #cookies = new Map<string, string>();

  constructor(readonly url: string) {}

  get cookie(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  forgetCookies(): void {
    this.#cookies.clear();
  }

  async ask(path: string, init: RequestInit = {}): Promise<CacheStatusResponse> {
    const headers = new Headers(init.headers);
    if (this.cookie !== "") headers.set("cookie", this.cookie);
    const request = { redirect: "manual", ...init, headers, client: this.#http } as const;
    const response = await fetch(this.url + path, request);
    const text = await response.text();
    for (const set of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = set.match(/^([^=]+)=([^;]*)/) ?? [];
      this.#cookies.set(name, value);
    }
    return {
      status: response.status,
      headers: response.headers,
      text,
      cache: response.headers.get("x-cache-status"),
      position: Number(response.headers.get("tallybook-position") ?? 0),
    };
  }

  get(path: string, accept = "application/json"): Promise<CacheStatusResponse> {
    return this.ask(path, { headers: { accept } });
  }

  send(
    method: string,
    path: string,
    body?: unknown,
    headers: HeadersInit = {},
  ): Promise<CacheStatusResponse> {
    return this.ask(path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  }

  [Symbol.dispose](): void {
    this.#http.close();
  }
}
