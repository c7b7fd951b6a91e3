// A TCP proxy to a server, which a test can cut and mend as a network does.
import { delay } from "$src/async/delay.ts";

export type Proxy = AsyncDisposable & {
  url: string;
  /** Ends every connection and refuses new ones. */
  cut(): void;
  mend(): void;
};

/** `delayMs`: the latency in each direction. */
export function proxyTo(target: string, delayMs = 0): Proxy {
  const { hostname, port } = new URL(target);
  const open = new Set<Deno.Conn>();
  let listener = listen(0);
  const { port: own } = listener.addr as Deno.NetAddr;
  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String(own);

  function listen(at: number): Deno.Listener {
    const started = Deno.listen({ hostname: "127.0.0.1", port: at });
    void accept(started);
    return started;
  }

  async function accept(from: Deno.Listener): Promise<void> {
    for await (const near of from) void forward(near).catch(() => undefined);
  }

  async function forward(near: Deno.Conn): Promise<void> {
    open.add(near);
    const far = await Deno.connect({ hostname, port: Number(port) });
    open.add(far);
    const ends = [
      near.readable.pipeThrough(late()).pipeTo(far.writable),
      far.readable.pipeThrough(late()).pipeTo(near.writable),
    ];
    await Promise.allSettled(ends);
    open.delete(near);
    open.delete(far);
  }

  function late(): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
    return new TransformStream({
      async transform(part, controller) {
        if (delayMs > 0) await delay(delayMs);
        controller.enqueue(part);
      },
    });
  }

  function cut(): void {
    listener.close();
    for (const conn of open) close(conn);
    open.clear();
  }

  return {
    url: url.href,
    cut,
    mend: () => {
      listener = listen(own);
    },
    [Symbol.asyncDispose]() {
      cut();
      return Promise.resolve();
    },
  };
}

function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
