// A proxy from Nginx to the app that can hold back each response, as a test says.

export type DelayProxy = AsyncDisposable & { port: number; held: number };

/** How many milliseconds to hold back the response to a request. */
export type HoldBack = (request: Request) => number;

export function delayProxy(target: string, holdBack: HoldBack): DelayProxy {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, forward);
  const proxy = {
    port: server.addr.port,
    held: 0,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };

  async function forward(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const ms = holdBack(request);
    const answer = await fetch(target + pathname + search, {
      method: request.method,
      headers: request.headers,
      body: request.body,
      redirect: "manual",
    });
    const { status, headers } = answer;
    const body = await answer.arrayBuffer();
    if (ms > 0) {
      proxy.held++;
      await new Promise((done) => setTimeout(done, ms));
    }
    return new Response([204, 304].includes(status) ? null : body, { status, headers });
  }

  return proxy;
}
