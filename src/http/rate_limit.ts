// Limits how often one address may write or guess a token, also where there is no Nginx with limits
// of its own. Fifty people behind one address can sign and vote at once.
import { AppError } from "../errors.ts";

const WINDOW_SECONDS = 60;
const WRITES = 600;
const GUESSES = 10;
const MAX_CLIENTS = 50_000;

type Window = { ends: number; used: number };

export class RateLimit {
  readonly #windows = new Map<string, Window>();

  /** Counts a write; sets the RateLimit headers also on a refusal. */
  takeWrite(client: string, setHeader: (name: string, value: string) => void): void {
    const { left, seconds } = this.#take(`write ${client}`, WRITES);
    setHeader("RateLimit-Policy", `"writes";q=${WRITES};w=${WINDOW_SECONDS}`);
    setHeader("RateLimit", `"writes";r=${Math.max(0, left)};t=${seconds}`);
    if (left < 0) throw tooMany("too many writes from your address", seconds);
  }

  /** Counts a wrong token; throws 429 with Retry-After beyond GUESSES. */
  takeGuess(client: string): void {
    const { left, seconds } = this.#take(`guess ${client}`, GUESSES);
    if (left < 0) throw tooMany("too many wrong tokens from your address", seconds);
  }

  #take(key: string, quota: number): { left: number; seconds: number } {
    let window = this.#windows.get(key);
    if (!window || window.ends <= performance.now()) {
      if (this.#windows.size >= MAX_CLIENTS) this.#windows.clear();
      window = { ends: performance.now() + WINDOW_SECONDS * 1000, used: 0 };
      this.#windows.set(key, window);
    }
    window.used++;
    return { left: quota - window.used, seconds: secondsLeft(window) };
  }
}

function secondsLeft(window: Window): number {
  return Math.max(1, Math.ceil((window.ends - performance.now()) / 1000));
}

function tooMany(message: string, retryAfter: number): AppError {
  return new AppError("too_many", message, { retryAfter });
}
