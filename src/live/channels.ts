// Publishes events to open pages as they happen. One subscription per process and one message per
// channel, built and encoded once for all subscribers: a thousand subscribers cost a thousand
// enqueues.
import type { Recorded } from "$events/mod.ts";
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import { log } from "../log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { readHead } from "../store/read.ts";
import { type AppendSignal, subscribe } from "../store/subscribe.ts";

/** `id` is a position of the log: no subscriber gets an older one after a newer one. */
export type Message = { id: number; event: string; data: string };

/** The subject of a channel; all subscribers with the same key get the same messages. */
export type Topic = {
  key: string;
  concerns: (event: Recorded) => boolean;
  /** The messages about these events, for all subscribers. */
  tell: (events: Recorded[]) => Promise<Message[]>;
  /** The first messages for a subscriber that saw nothing after this position. */
  missed: (position: number) => Promise<Message[]>;
  /** The first messages for a subscriber that saw nothing at all. */
  now?: () => Promise<Message[]>;
};

// The shortest interval between messages: hundreds of votes a second become one message. A large
// channel publishes less often, as the cost of a message grows with it: 500 subscribers get four a
// second.
const EVERY_MS = 100;
const EVERY_MS_PER_SUBSCRIBER = 0.5;
const HEARTBEAT_MS = 15_000;
// Disconnect subscribers more than MAX_BEHIND messages behind; they resume by Last-Event-ID.
export const MAX_BEHIND = 200;

const encoder = new TextEncoder();

type EncodedMessage = { id: number; bytes: Uint8Array<ArrayBuffer> };

function encode({ id, event, data }: Message): EncodedMessage {
  return { id, bytes: encoder.encode(`id: ${id}\nevent: ${event}\ndata: ${data}\n\n`) };
}

class Subscriber {
  #last: number;
  /** Messages held back until the subscriber has got the earlier ones. */
  #held: EncodedMessage[] | undefined = [];

  constructor(
    readonly controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>,
    since: number | undefined,
  ) {
    this.#last = since ?? -1;
  }

  /** False when the subscriber is gone or too far behind. */
  publish(messages: EncodedMessage[]): boolean {
    if (this.#held) this.#held.push(...messages);
    else for (const one of messages) if (!this.#send(one)) return false;
    return true;
  }

  begin(first: EncodedMessage[]): boolean {
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
      // The client has closed the stream already.
    }
  }

  #send({ id, bytes }: EncodedMessage): boolean {
    if (id <= this.#last) return true;
    this.#last = id;
    return this.write(bytes);
  }
}

/** Resolves when caches show changes up to this position, or not much later. */
type Visible = (position: number) => Promise<unknown>;

class Channel {
  readonly subscribers = new Set<Subscriber>();
  #waiting: Recorded[] = [];
  #isPublishing = false;

  constructor(readonly topic: Topic, readonly visible: Visible) {}

  enqueue(events: Recorded[]): void {
    for (const event of events) if (this.topic.concerns(event)) this.#waiting.push(event);
    if (this.#waiting.length > 0 && !this.#isPublishing) this.#publishWaiting();
  }

  async #publishWaiting(): Promise<void> {
    this.#isPublishing = true;
    while (this.#waiting.length > 0 && this.subscribers.size > 0) {
      const events = this.#waiting;
      this.#waiting = [];
      try {
        // A page that reloads because of the message must find the change.
        await this.visible(events.at(-1)?.position ?? 0);
        const messages = (await this.topic.tell(events)).map(encode);
        for (const subscriber of this.subscribers) {
          if (!subscriber.publish(messages)) this.drop(subscriber);
        }
      } catch (error) {
        // Subscribers reconnect with the last position they saw, and miss nothing.
        log.warn("live.failed", { error: reason(error) });
        for (const subscriber of this.subscribers) this.drop(subscriber);
      }
      await delay(Math.max(EVERY_MS, this.subscribers.size * EVERY_MS_PER_SUBSCRIBER));
    }
    this.#waiting = [];
    this.#isPublishing = false;
  }

  drop(subscriber: Subscriber): void {
    if (this.subscribers.delete(subscriber)) subscriber.close();
  }
}

export type Joining = { since: number | undefined; visible: Visible };

export class EventHub implements AsyncDisposable {
  readonly #sql: Sql;
  readonly #wakeups: AppendSignal;
  readonly #metrics: Metrics;
  readonly #channels = new Map<string, Channel>();
  readonly #stop = new AbortController();
  readonly #heartbeat: ReturnType<typeof setInterval>;
  #running: { from: Promise<void>; over: Promise<void> } | undefined;

  constructor(sql: Sql, wakeups: AppendSignal, metrics: Metrics) {
    this.#sql = sql;
    this.#wakeups = wakeups;
    this.#metrics = metrics;
    const heartbeat = encoder.encode(": \n\n");
    this.#heartbeat = setInterval(() => {
      for (const [channel, subscriber] of this.#subscribers()) {
        if (!subscriber.write(heartbeat)) channel.drop(subscriber);
      }
      this.#count();
    }, HEARTBEAT_MS);
  }

  /** A stream of server-sent events for one subscriber, from after the last position it saw. */
  join(topic: Topic, { since, visible }: Joining): ReadableStream<Uint8Array<ArrayBuffer>> {
    const channel = this.#channels.getOrInsertComputed(
      topic.key,
      () => new Channel(topic, visible),
    );
    let subscriber: Subscriber | undefined;
    return new ReadableStream({
      start: (controller) => {
        subscriber = new Subscriber(controller, since);
        channel.subscribers.add(subscriber);
        subscriber.write(encoder.encode("retry: 1000\n\n"));
        this.#count();
        this.#catchUp(channel, subscriber, since);
      },
      cancel: () => {
        if (subscriber) channel.subscribers.delete(subscriber);
        this.#count();
      },
    });
  }

  /** Subscribes first, then reads earlier events: none falls in between. */
  async #catchUp(
    channel: Channel,
    subscriber: Subscriber,
    since: number | undefined,
  ): Promise<void> {
    try {
      await this.#listening();
      const first = await this.#first(channel.topic, since);
      if (!subscriber.begin(first)) channel.drop(subscriber);
    } catch (error) {
      log.warn("live.failed", { error: reason(error) });
      channel.drop(subscriber);
    }
  }

  async #first({ missed, now }: Topic, since: number | undefined): Promise<EncodedMessage[]> {
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
          for (const channel of this.#channels.values()) channel.enqueue(events);
          if (this.#size() === 0) break;
        }
      } catch (error) {
        log.warn("live.failed", { error: reason(error) });
        await delay(500, signal);
      }
    }
    this.#running = undefined;
    // Releases a subscriber that joined at this very moment; it waits for a subscription of its
    // own.
    ready();
  }

  *#subscribers(): Generator<[Channel, Subscriber]> {
    for (const channel of this.#channels.values()) {
      for (const subscriber of channel.subscribers) yield [channel, subscriber];
    }
  }

  #size(): number {
    let size = 0;
    for (const [key, channel] of this.#channels) {
      if (channel.subscribers.size === 0) this.#channels.delete(key);
      size += channel.subscribers.size;
    }
    return size;
  }

  #count(): void {
    this.#metrics.listeners.set(this.#size());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#stop.abort();
    for (const [channel, subscriber] of this.#subscribers()) channel.drop(subscriber);
    await this.#running?.over;
  }
}
