// Tells open pages what happens, as it happens. One subscription a process and one message a room,
// worked out and encoded once however many listen: a thousand listeners cost a thousand enqueues.
import type { Recorded } from "$events/mod.ts";
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import { log } from "../log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { readHead } from "../store/read.ts";
import { type AppendSignal, subscribe } from "../store/subscribe.ts";

/** `id` is a position of the log: nobody is ever told an older one after a newer one. */
export type Message = { id: number; event: string; data: string };

/** What a room is about; all who ask for the same key are told the same. */
export type Topic = {
  key: string;
  concerns: (event: Recorded) => boolean;
  /** What all who listen are told of these events. */
  tell: (events: Recorded[]) => Promise<Message[]>;
  /** What somebody who saw nothing after this position is told first. */
  missed: (position: number) => Promise<Message[]>;
  /** What somebody who saw nothing at all is told first. */
  now?: () => Promise<Message[]>;
};

// So often at most: hundreds of votes a second are one message. A large room is told less often, as
// what each message costs grows with it: 500 listeners hear four a second.
const EVERY_MS = 100;
const EVERY_MS_A_LISTENER = 0.5;
const BEAT_MS = 15_000;
// A listener that takes nothing for so many messages is let go; it comes back where it stopped.
export const MAX_BEHIND = 200;

const encoder = new TextEncoder();

type Told = { id: number; bytes: Uint8Array<ArrayBuffer> };

function encode({ id, event, data }: Message): Told {
  return { id, bytes: encoder.encode(`id: ${id}\nevent: ${event}\ndata: ${data}\n\n`) };
}

class Subscriber {
  #last: number;
  /** Held back until the newcomer knows what happened before. */
  #held: Told[] | undefined = [];

  constructor(
    readonly controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
    since: number | undefined,
  ) {
    this.#last = since ?? -1;
  }

  /** False when there is nobody any more. */
  publish(told: Told[]): boolean {
    if (this.#held) this.#held.push(...told);
    else for (const one of told) if (!this.#send(one)) return false;
    return true;
  }

  begin(first: Told[]): boolean {
    const held = this.#held ?? [];
    this.#held = undefined;
    return this.publish([...first, ...held]);
  }

  write(bytes: Uint8Array<ArrayBuffer>): boolean {
    try {
      this.controller.enqueue(bytes);
      return (this.controller.desiredSize ?? -MAX_BEHIND) > -MAX_BEHIND;
    } catch {
      return false;
    }
  }

  close(): void {
    try {
      this.controller.close();
    } catch {
      // Closed from the other side.
    }
  }

  #send({ id, bytes }: Told): boolean {
    if (id <= this.#last) return true;
    this.#last = id;
    return this.write(bytes);
  }
}

/** Resolves when caches show what happened up to this position, or not much later. */
type Visible = (position: number) => Promise<unknown>;

class Channel {
  readonly listeners = new Set<Subscriber>();
  #waiting: Recorded[] = [];
  #telling = false;

  constructor(readonly topic: Topic, readonly visible: Visible) {}

  enqueue(events: Recorded[]): void {
    for (const event of events) if (this.topic.concerns(event)) this.#waiting.push(event);
    if (this.#waiting.length > 0 && !this.#telling) this.#tell();
  }

  async #tell(): Promise<void> {
    this.#telling = true;
    while (this.#waiting.length > 0 && this.listeners.size > 0) {
      const events = this.#waiting;
      this.#waiting = [];
      try {
        // A page that is read because of this finds it there.
        await this.visible(events.at(-1)?.position ?? 0);
        const told = (await this.topic.tell(events)).map(encode);
        for (const listener of this.listeners) if (!listener.publish(told)) this.drop(listener);
      } catch (error) {
        // They come back with the last position they saw, and miss nothing.
        log.warn("live.failed", { error: reason(error) });
        for (const listener of this.listeners) this.drop(listener);
      }
      await delay(Math.max(EVERY_MS, this.listeners.size * EVERY_MS_A_LISTENER));
    }
    this.#waiting = [];
    this.#telling = false;
  }

  drop(listener: Subscriber): void {
    if (this.listeners.delete(listener)) listener.close();
  }
}

export type Joining = { since: number | undefined; visible: Visible };

export class EventHub implements AsyncDisposable {
  readonly #sql: Sql;
  readonly #wakeups: AppendSignal;
  readonly #metrics: Metrics;
  readonly #rooms = new Map<string, Channel>();
  readonly #stop = new AbortController();
  readonly #beat: ReturnType<typeof setInterval>;
  #running: { from: Promise<void>; over: Promise<void> } | undefined;

  constructor(sql: Sql, wakeups: AppendSignal, metrics: Metrics) {
    this.#sql = sql;
    this.#wakeups = wakeups;
    this.#metrics = metrics;
    const beat = encoder.encode(": \n\n");
    this.#beat = setInterval(() => {
      for (const [room, listener] of this.#everyone()) {
        if (!listener.write(beat)) room.drop(listener);
      }
      this.#count();
    }, BEAT_MS);
  }

  /** A stream of server-sent events for one listener, from after the last position it saw. */
  join(topic: Topic, { since, visible }: Joining): ReadableStream<Uint8Array<ArrayBuffer>> {
    const room = this.#rooms.getOrInsertComputed(topic.key, () => new Channel(topic, visible));
    let listener: Subscriber | undefined;
    return new ReadableStream({
      start: (controller) => {
        listener = new Subscriber(controller, since);
        room.listeners.add(listener);
        listener.write(encoder.encode("retry: 1000\n\n"));
        this.#count();
        this.#welcome(room, listener, since);
      },
      cancel: () => {
        if (listener) room.listeners.delete(listener);
        this.#count();
      },
    });
  }

  /** Listening first, then reading what was: nothing falls in between. */
  async #welcome(room: Channel, listener: Subscriber, since: number | undefined): Promise<void> {
    try {
      await this.#listening();
      const first = await this.#first(room.topic, since);
      if (!listener.begin(first)) room.drop(listener);
    } catch (error) {
      log.warn("live.failed", { error: reason(error) });
      room.drop(listener);
    }
  }

  async #first({ missed, now }: Topic, since: number | undefined): Promise<Told[]> {
    if (since === undefined) return (await now?.() ?? []).map(encode);
    return (await missed(since)).map(encode);
  }

  #listening(): Promise<void> {
    if (!this.#running) {
      const { promise: from, resolve } = Promise.withResolvers<void>();
      this.#running = { from, over: this.#run(resolve) };
    }
    return this.#running.from;
  }

  async #run(ready: () => void): Promise<void> {
    const { signal } = this.#stop;
    let after: number | undefined;
    while (!signal.aborted && this.#size() > 0) {
      try {
        after ??= (await readHead(this.#sql)).position;
        ready();
        for await (const events of subscribe(this.#sql, this.#wakeups, { after, signal })) {
          after = events.at(-1)?.position ?? after;
          for (const room of this.#rooms.values()) room.enqueue(events);
          if (this.#size() === 0) break;
        }
      } catch (error) {
        log.warn("live.failed", { error: reason(error) });
        await delay(500, signal);
      }
    }
    this.#running = undefined;
    // Who came in this very moment waits for a subscription of its own.
    ready();
  }

  *#everyone(): Generator<[Channel, Subscriber]> {
    for (const room of this.#rooms.values()) {
      for (const listener of room.listeners) yield [room, listener];
    }
  }

  #size(): number {
    let size = 0;
    for (const [key, room] of this.#rooms) {
      if (room.listeners.size === 0) this.#rooms.delete(key);
      size += room.listeners.size;
    }
    return size;
  }

  #count(): void {
    this.#metrics.listeners.set(this.#size());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#beat);
    this.#stop.abort();
    for (const [room, listener] of this.#everyone()) room.drop(listener);
    await this.#running?.over;
  }
}
