// One Nginx: what it may hold just now, and the only one who puts it there. A fill counts when the
// cache itself has answered with its mark; until then the copy of before is thought to be there.
import { reason } from "../errors.ts";
import { pause } from "../follower.ts";
import { log } from "../log.ts";
import { type Copy, partsOf, WISHES } from "./copies.ts";

/**
 * A copy lives for whole seconds of Nginx' clock and to the end of the last of them, so that this
 * is one second less than the five it may.
 */
export const LIFE_SECONDS = 4;
export const LIFE_MS = (LIFE_SECONDS + 1) * 1000;
/** The longest that an answer to a fill can be under way, by the times in nginx.conf, and a bit. */
export const LANDING_MS = 2700;
const DOWN_MS = 1000;
export const LOOK_MS = 500;
const GONE_MS = 100;
const RETRY_MS = 50;
const MAX_COPIES = 2000;

type Held = {
  copy: Copy;
  /** Until then a reader may be given it. */
  until: number;
  /** As it was asked for, it is kept; a refresh does not make it live longer. */
  wantedUntil: number;
  filledAt: number;
  /** Until then an answer that nobody waits for any more may still land on it. */
  strayUntil: number;
  turn: Promise<unknown>;
};

export type NginxOptions = { url: string; secret: string; onFailure: () => void };

export class Nginx {
  readonly url: string;
  readonly #options: NginxOptions;
  readonly #held = new Map<Copy, Held>();
  #isHeld = () => false;
  #downUntil = 0;
  #suspect = false;
  #marks = 0;
  readonly #name = crypto.randomUUID();

  constructor(options: NginxOptions) {
    this.#options = options;
    this.url = options.url.replace(/\/$/, "");
  }

  get isDown(): boolean {
    return this.#downUntil > performance.now();
  }

  /** Whether something that was sent may still be under way. */
  get isSuspect(): boolean {
    return this.#suspect;
  }

  /** Another holder filled these, and what it asked for last may still be under way. */
  adopt(
    copies: { copy: Copy; until: number }[],
    { strayUntil, isHeld }: { strayUntil: number; isHeld: () => boolean },
  ): void {
    this.#isHeld = isHeld;
    this.#held.clear();
    for (const { copy, until } of copies) {
      const turn = Promise.resolve();
      this.#held.set(copy, { copy, until, strayUntil, wantedUntil: 0, filledAt: 0, turn });
    }
  }

  /** Whether a reader who missed this just now calls for a fill. */
  lacks(copy: Copy): boolean {
    const held = this.#held.get(copy);
    if (held === undefined) return this.#hasRoom();
    return performance.now() - held.filledAt > 1000;
  }

  /** What a reader may be given from it just now, or in a moment. */
  copies(): Copy[] {
    const now = performance.now();
    return [...this.#held.values()].filter(({ until }) => until > now).map(({ copy }) => copy);
  }

  /** For a reader who asked. What is under way already will do. */
  async fill(copy: Copy): Promise<void> {
    const now = performance.now();
    const fresh: Held = {
      copy,
      until: 0,
      wantedUntil: 0,
      filledAt: now,
      strayUntil: 0,
      turn: Promise.resolve(),
    };
    const held = this.#held.get(copy) ?? fresh;
    held.filledAt = now;
    held.wantedUntil = now + LIFE_MS;
    this.#held.set(copy, held);
    await this.#inTurn(held);
  }

  /** Answers when no reader can be given anything from before this call. */
  async renew(copy: Copy, signal: AbortSignal): Promise<void> {
    const held = this.#held.get(copy);
    // What is sent from here on can only bring what is new; what may be old ends by then.
    const end = held?.until ?? 0;
    while (held && end > performance.now() && !signal.aborted) {
      const down = this.#downUntil - performance.now();
      const filled = down <= 0 && await this.#inTurn(held);
      const stray = held.strayUntil - performance.now();
      if (filled && stray <= 0) return;
      const next = filled ? stray : Math.max(down, RETRY_MS);
      await pause(Math.max(1, Math.min(next, end - performance.now())), signal);
    }
  }

  /** Fills of one copy never overtake each other. */
  #inTurn(held: Held): Promise<boolean> {
    const turn = held.turn.then(() => this.#put(held));
    held.turn = turn;
    return turn;
  }

  async #put(held: Held): Promise<boolean> {
    if (!this.#isHeld()) return false;
    if (this.#suspect && !await this.#isThere(held)) return false;
    const before = held.until;
    const sent = performance.now();
    const wanted = Math.ceil((held.wantedUntil - sent) / 1000) - 1;
    const life = Math.min(LIFE_SECONDS, Math.max(1, wanted));
    const mark = `${this.#name}-${++this.#marks}`;
    held.until = Math.max(before, sent + LANDING_MS + LIFE_MS);
    try {
      const answer = await this.#ask(held.copy, { mark, life: String(life) });
      if (answer.mark === mark) return await this.#readBack(held, { mark, life });
      // The app has answered, and not with anything to be stored: what was there is there.
      held.until = before;
      return this.#failed(held, `answered with ${answer.status}`);
    } catch (error) {
      this.#suspect = true;
      this.#downUntil = performance.now() + DOWN_MS;
      // Where there was no connection, nothing can be under way either.
      if (isRefused(error)) held.until = before;
      else held.strayUntil = sent + LANDING_MS;
      return this.#failed(held, reason(error));
    }
  }

  /** Looking stores nothing: a Nginx that failed is not sent more that could land late. */
  async #isThere(held: Held): Promise<boolean> {
    try {
      await this.#ask(held.copy, {});
      this.#suspect = false;
      return true;
    } catch (error) {
      this.#downUntil = performance.now() + DOWN_MS;
      return this.#failed(held, reason(error));
    }
  }

  /** Nginx has the new copy in use a moment after it has sent it. */
  async #readBack(held: Held, { mark, life }: { mark: string; life: number }): Promise<boolean> {
    const began = performance.now();
    while (performance.now() - began < LOOK_MS) {
      const seen = await this.#ask(held.copy, {});
      const isServed = seen.cache === "HIT" && seen.mark === mark;
      // Nothing is served: it ended already, or Nginx could not keep it.
      const isGone = seen.cache !== "HIT" && performance.now() - began > GONE_MS;
      if (isServed || isGone) {
        held.until = performance.now() + (life + 1) * 1000;
        return true;
      }
      await pause(1);
    }
    return this.#failed(held, "what was stored is not what is served");
  }

  async #ask(copy: Copy, to: { mark?: string; life?: string }) {
    const { wish, path } = partsOf(copy);
    const headers: Record<string, string> = {
      accept: WISHES[wish],
      "accept-encoding": "identity",
      "x-tallybook-refresh": this.#options.secret,
    };
    if (to.mark === undefined) headers["x-tallybook-look"] = "1";
    else {
      headers["x-tallybook-copy"] = to.mark;
      headers["x-tallybook-life"] = to.life ?? "1";
    }
    const response = await fetch(this.url + path, {
      method: to.mark === undefined ? "HEAD" : "GET",
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(to.mark === undefined ? LOOK_MS : LANDING_MS),
    });
    await response.arrayBuffer();
    return {
      status: response.status,
      mark: response.headers.get("tallybook-copy") ?? undefined,
      cache: response.headers.get("x-cache-status"),
    };
  }

  #failed({ copy }: Held, why: string): false {
    this.#options.onFailure();
    log.warn("nginx did not take a refresh", { nginx: this.url, copy, why });
    return false;
  }

  #hasRoom(): boolean {
    if (this.#held.size < MAX_COPIES) return true;
    const now = performance.now();
    for (const [copy, { until, strayUntil, filledAt }] of this.#held) {
      if (Math.max(until, strayUntil, filledAt + LANDING_MS) < now) this.#held.delete(copy);
    }
    return this.#held.size < MAX_COPIES;
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof TypeError && /\(Connect\)/.test(reason(error));
}
