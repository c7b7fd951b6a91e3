// One JSON line an event, to standard output; never any personal text.

/** Every log event, by the name to alert on, with its message. docs/operations.md lists them. */
export const EVENTS = {
  "append.hook_failed": "work after a commit failed: the commit stands",
  "cache.history_failed": "could not read or write the history of cache hits",
  "cache.totals_failed": "could not add up cache hits in Redis",
  "database.migrated": "applied migrations",
  "database.waiting": "waiting for the database",
  "freshness.behind": "the caches are behind the log: catch-up failed and is tried again",
  "freshness.confirmation_lost": "could not send a confirmation to the leader",
  "freshness.invalidation_failed": "could not invalidate a cache: the leader does it",
  "freshness.watermark_unread": "could not read the watermark",
  "leader.lock_option": "the server does not take an option of the lock's session",
  "leader.lost": "leadership lost",
  "live.failed": "could not publish to open pages: they reconnect",
  "metrics.query_failed": "could not read figures from the database",
  "nginx.contact_failed": "could not renew contact with Nginx",
  "nginx.missed_change":
    "Nginx missed a change: it must raise every version before it is trusted again",
  "nginx.reachable": "Nginx answers again",
  "nginx.unreachable": "Nginx did not take a request to raise page versions",
  "polls.close_failed": "could not close the polls that are due",
  "process.unhandled_rejection": "a promise was rejected and nothing handled it",
  "projection.caught_up": "a projection has caught up with the log",
  "projection.rebuild": "rebuilding a projection whose code changed",
  "projection.replay_failed": "a replay failed",
  "projection.retry_failed": "could not retry stopped projections",
  "redis.available": "Redis is available again",
  "redis.command_failed": "a Redis command failed",
  "redis.lease_lost": "Redis cache disabled: lease lost",
  "redis.unavailable": "Redis is unavailable: the service goes on without it",
  "request.done": "answered a request",
  "request.failed": "answered a request with a 500",
  "request.refused": "answered a request with a 5xx that says why",
  "store.event_skipped": "skipped an event that fits no schema",
  "store.undecryptable": "a key does not open its text",
  "visits.log_failed": "could not follow Nginx' access log",
  "visits.not_saved": "could not append counted views: tried again",
  "visits.redis_failed": "could not count a view in Redis",
  "visits.total_not_saved": "could not save a page's highest total: an older one is shown",
  "webhook.failed": "could not deliver to the webhook: tried again",
  "webhook.refused": "the webhook answered with an error: tried again",
} as const;

export type LogEvent = keyof typeof EVENTS;

const LEVELS = ["debug", "info", "warn", "error"] as const;
type Level = typeof LEVELS[number];
type Facts = Record<string, string | number | boolean | null | undefined>;

class Log {
  #level: Level = "info";

  setLevel(level: Level): void {
    this.#level = level;
  }

  /** For facts that are expensive to collect. */
  get isDebugging(): boolean {
    return this.#level === "debug";
  }

  debug = (event: LogEvent, facts?: Facts): void => this.#write("debug", event, facts);
  info = (event: LogEvent, facts?: Facts): void => this.#write("info", event, facts);
  warn = (event: LogEvent, facts?: Facts): void => this.#write("warn", event, facts);
  error = (event: LogEvent, facts?: Facts): void => this.#write("error", event, facts);

  #write(level: Level, event: LogEvent, facts: Facts = {}): void {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(this.#level)) return;
    const at = new Date().toISOString();
    const line = JSON.stringify({ at, level, event, message: EVENTS[event], ...facts });
    try {
      Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
    } catch {
      // A log that cannot be written (its disk is full, its reader gone) must not fail a request or
      // the process, and there is nowhere left to report it.
    }
  }
}

export const log = new Log();
