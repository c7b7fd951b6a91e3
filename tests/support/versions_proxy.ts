// A proxy from the service to the Nginx port where page versions are raised. A test can cut it or hold a
// request back. Started before the stack, whose Nginx becomes its target.

export type VersionsProxy = AsyncDisposable & {
  /** For NGINX_URL. */
  url: string;
  /** The inside address of the Nginx behind it. */
  target: string | undefined;
  /** While true, no request gets through. */
  isCut: boolean;
  /** How often every version was raised. */
  raisedAll: number;
  /** Awaited before a request is forwarded, or lost. */
  before: (body: string) => Promise<void | "lose"> | void;
};

export function versionsProxy(): VersionsProxy {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, forward);
  const proxy: VersionsProxy = {
    url: `http://127.0.0.1:${server.addr.port}`,
    target: undefined,
    isCut: false,
    raisedAll: 0,
    before: () => {},
    [Symbol.asyncDispose]: () => server.shutdown(),
  };

  async function forward(request: Request): Promise<Response> {
    const body = await request.text();
    const isLost = await proxy.before(body) === "lose";
    if (isLost || proxy.isCut || proxy.target === undefined) {
      return new Response(null, { status: 503 });
    }
    try {
      const answer = await fetch(`${proxy.target}/versions`, {
        method: "POST",
        headers: request.headers,
        body,
      });
      if (body === "*") proxy.raisedAll++;
      return new Response(await answer.text(), { status: answer.status });
    } catch (error) {
      // Nginx is not running at the moment.
      return new Response(String(error), { status: 502 });
    }
  }

  return proxy;
}
