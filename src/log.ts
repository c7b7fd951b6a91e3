// One JSON line an event, to standard output; no personal text ever goes in here.

const LEVELS = ["debug", "info", "warn", "error"] as const;
type Level = typeof LEVELS[number];
type Facts = Record<string, string | number | boolean | null | undefined>;

class Log {
  #level: Level = "info";

  setLevel(level: Level): void {
    this.#level = level;
  }

  /** For facts that cost something to gather. */
  get isDebugging(): boolean {
    return this.#level === "debug";
  }

  debug = (message: string, facts?: Facts): void => this.#write("debug", message, facts);
  info = (message: string, facts?: Facts): void => this.#write("info", message, facts);
  warn = (message: string, facts?: Facts): void => this.#write("warn", message, facts);
  error = (message: string, facts?: Facts): void => this.#write("error", message, facts);

  #write(level: Level, message: string, facts: Facts = {}): void {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(this.#level)) return;
    const line = JSON.stringify({ at: new Date().toISOString(), level, message, ...facts });
    try {
      Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
    } catch {
      // A log that cannot be written (its disk is full, its reader gone) must not cost a request or the
      // process, and there is nowhere left to say so.
    }
  }
}

export const log = new Log();
