// The position that every read sees, and who waits until it is theirs.
import { alarmIn } from "./alarm.ts";
import { Bag } from "./bag.ts";
import { reason } from "./errors.ts";
import { log } from "./log.ts";

const LOOK_MS = 100;

type Waiter = { position: number; done: (visible: boolean) => void };

export class Visible {
  /** Where others have written down how far they are; behind the notification, which may be missed. */
  readonly #look: () => Promise<number>;
  #position = 0;
  readonly #waiters = new Bag<Waiter>();
  #looking: ReturnType<typeof setInterval> | undefined;
  #asking = false;

  constructor(look: () => Promise<number>) {
    this.#look = look;
  }

  get position(): number {
    return this.#position;
  }

  saw(position: number): void {
    if (position <= this.#position) return;
    this.#position = position;
    for (const waiter of this.#waiters) if (waiter.position <= position) waiter.done(true);
  }

  /** False if it took longer. */
  wait(position: number, ms: number): Promise<boolean> {
    if (position <= this.#position) return Promise.resolve(true);
    this.#looking ??= setInterval(() => this.#ask(), LOOK_MS);
    return new Promise((resolve) => {
      const done = (visible: boolean) => {
        callOff();
        leave();
        resolve(visible);
      };
      const callOff = alarmIn(ms, () => done(false));
      const leave = this.#waiters.add({ position, done });
    });
  }

  /** While anybody waits. */
  async #ask(): Promise<void> {
    if (this.#waiters.size === 0) return this.#stopLooking();
    if (this.#asking) return;
    this.#asking = true;
    try {
      this.saw(await this.#look());
    } catch (error) {
      log.debug("follower look", { error: reason(error) });
    } finally {
      this.#asking = false;
    }
  }

  #stopLooking(): void {
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  /** Nobody is told any more. */
  close(): void {
    for (const waiter of this.#waiters) waiter.done(false);
    this.#stopLooking();
  }
}
