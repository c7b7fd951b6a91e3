// The page versions of one Nginx. A page's version is part of its cache key there, so raising it
// invalidates every copy under the old one, however late that is stored.
import { AppError, reason } from "../errors.ts";
import { log } from "../log.ts";
import { KeptConnection } from "./kept_connection.ts";

const REPLY_MS = 500;
const PROBE_MS = 250;
// Many more paths than one batch touches; above that, raising every version is cheaper.
const MAX_PATHS = 5000;
/** Raises every version, in place of a list of paths. */
const ALL = "*";

export type NginxOptions = { url: string; secret: string; onFailure: () => void };

export class NginxVersions implements AsyncDisposable {
  readonly url: string;
  readonly #options: NginxOptions;
  readonly #connection: KeptConnection;
  /** Names one life of the versions: a restarted Nginx counts from zero under another epoch. */
  #epoch: string | undefined;
  #down = false;
  #probe: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: NginxOptions) {
    this.#options = options;
    this.url = options.url.replace(/\/$/, "");
    this.#connection = new KeptConnection(options.url);
  }

  /** False from a failure until a probe is answered, so that no request waits for a dead Nginx twice. */
  get isUp(): boolean {
    return !this.#down;
  }

  get epoch(): string | undefined {
    return this.#epoch;
  }

  /**
   * Sets the epoch that another process knew: an answer under another epoch then raises every
   * version.
   */
  expect(epoch: string): void {
    this.#epoch ??= epoch;
  }

  /** Resolves once no later request gets a copy of these pages that was loaded before the call. */
  async raise(paths: ReadonlySet<string>): Promise<void> {
    if (paths.size > 0) await this.#send(paths.size > MAX_PATHS ? ALL : [...paths].join("\n"));
  }

  async raiseAll(): Promise<void> {
    await this.#send(ALL);
  }

  /** Tells Nginx that the service is up, and checks that Nginx is. */
  async ping(): Promise<void> {
    await this.#send("");
  }

  async #send(body: string): Promise<void> {
    if (this.#down) throw new Error(`${this.url} did not answer before`);
    try {
      const epoch = await this.#post(body);
      if (this.#epoch !== undefined && epoch !== this.#epoch && body !== ALL) await this.#post(ALL);
      this.#epoch = epoch;
    } catch (error) {
      this.#failed(error);
      throw error;
    }
  }

  async #post(body: string): Promise<string> {
    const { status, text } = await this.#connection.post({
      path: "/versions",
      headers: { "X-Tallybook-Secret": this.#options.secret },
      body,
      ms: REPLY_MS,
    });
    if (status !== 200) throw new AppError("unavailable", `status ${status}`);
    return text.trim();
  }

  #failed(error: unknown): void {
    this.#options.onFailure();
    if (this.#down || this.#closed) return;
    this.#down = true;
    log.warn("nginx.unreachable", { nginx: this.url, error: reason(error) });
    this.#probeSoon();
  }

  #probeSoon(): void {
    if (this.#closed) return;
    this.#probe = setTimeout(async () => {
      try {
        await this.#post("");
        this.#down = false;
        log.info("nginx.reachable", { nginx: this.url });
      } catch {
        // Logged once, when the contact was lost.
        this.#probeSoon();
      }
    }, PROBE_MS);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#probe);
    this.#connection[Symbol.dispose]();
    await Promise.resolve();
  }
}
