// Short requests to one server over a connection that is kept. Every batch makes one to each Nginx
// and its writers wait for it: by `fetch` it cost the process 230 us and took 630, this way 35 and
// 90.
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { setCoarseTimeout } from "../async/deadline.ts";
import { AppError } from "../errors.ts";

export type Answer = { status: number; text: string };

type Request = { path: string; headers: Record<string, string>; body: string; ms: number };

const HEAD_END = "\r\n\r\n";

export class KeptConnection implements Disposable {
  readonly #url: URL;
  /** The connection while no request uses it; a concurrent request opens another. */
  #idle: Socket | undefined;
  #closed = false;

  constructor(url: string) {
    this.#url = new URL(url);
  }

  /**
   * Sends again where the kept connection ends before the answer, so only idempotent requests may
   * use it.
   */
  async post(request: Request): Promise<Answer> {
    const kept = this.#idle;
    this.#idle = undefined;
    if (kept === undefined) return await this.#exchange(this.#open(), request);
    try {
      return await this.#exchange(kept, request);
    } catch (error) {
      if (!(error instanceof Ended)) throw error;
      return await this.#exchange(this.#open(), request);
    }
  }

  #open(): Socket {
    const { protocol, hostname, port } = this.#url;
    const host = hostname.replace(/^\[|\]$/g, "");
    const socket = protocol === "https:"
      ? connectTls({ host, port: Number(port || 443), servername: host })
      : connect({ host, port: Number(port || 80) });
    socket.setNoDelay(true);
    socket.setEncoding("latin1");
    // Without these listeners an idle connection that breaks would end the process.
    socket.on("error", () => {});
    socket.on("close", () => {
      if (this.#idle === socket) this.#idle = undefined;
    });
    return socket;
  }

  /**
   * Closes the connection on failure: a late answer must not be read as the answer to the next
   * request.
   */
  async #exchange(socket: Socket, request: Request): Promise<Answer> {
    try {
      const { answer, isKept } = await exchange(socket, this.#messageOf(request), request.ms);
      if (isKept && this.#idle === undefined && !this.#closed) this.#idle = socket;
      else socket.destroy();
      return answer;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  #messageOf({ path, headers, body }: Request): string {
    const lines = Object.entries({ ...headers, "Content-Length": new Blob([body]).size })
      .map(([name, value]) => `${name}: ${value}\r\n`);
    return `POST ${path} HTTP/1.1\r\nHost: ${this.#url.host}\r\n${lines.join("")}\r\n${body}`;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#idle?.destroy();
  }
}

class Ended extends AppError {}

type Exchanged = { answer: Answer; isKept: boolean };

function exchange(socket: Socket, message: string, ms: number): Promise<Exchanged> {
  return new Promise((resolve, reject) => {
    let text = "";
    const end = (settle: () => void) => {
      cancel();
      socket.off("data", onData).off("error", onError).off("close", onClose);
      settle();
    };
    const fail = (error: Error) => end(() => reject(error));
    const onClose = () => fail(new Ended("unavailable", "the connection ended"));
    const onError = (error: Error) => fail(new Ended("unavailable", error.message));
    const onData = (chunk: string) => {
      text += chunk;
      const exchanged = parse(text);
      if (exchanged !== undefined) end(() => resolve(exchanged));
    };
    const cancel = setCoarseTimeout(
      ms,
      () => fail(new AppError("unavailable", `no answer in ${ms} ms`)),
    );
    socket.on("data", onData).on("error", onError).on("close", onClose);
    socket.write(message);
  });
}

/** Undefined while the response is incomplete. Nginx sends its length for these requests. */
function parse(text: string): Exchanged | undefined {
  const end = text.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = text.slice(0, end);
  const length = head.match(/\r\nContent-Length: *(\d+)/i)?.[1];
  const rest = text.slice(end + HEAD_END.length);
  if (length !== undefined && rest.length < Number(length)) return undefined;
  const answer = { status: Number(head.slice(9, 12)), text: rest };
  return { answer, isKept: length !== undefined && !/\r\nConnection: *close/i.test(head) };
}
