// One process of writers for the torture test: appends to random streams until it is stopped, rolls some
// transactions back, and prints each acknowledgement as it arrives.
import { connect } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { Appender } from "$src/store/appender.ts";
import { random } from "./random.ts";

const [url = "", name = "", writers = "1", seed = "1"] = Deno.args;
const STREAMS = 25;
const ROLLED_BACK = "rolled back on purpose";

let stopped = false;
Deno.addSignalListener("SIGTERM", () => {
  stopped = true;
});

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function write(log: Appender, next: () => number, tags: () => number): Promise<void> {
  while (!stopped) {
    const stream = `visits-${Math.floor(next() * STREAMS)}`;
    const tag = tags();
    const length = 1 + Math.floor(next() * 3);
    const events = Array.from({ length }, () => ({
      type: "VisitsCounted" as const,
      data: { page: name, count: tag },
    }));
    const expected = next() < 0.2 ? "none" : "any";
    try {
      const taken = await log.append({
        streams: [{ stream, expected, events }],
        meta: { actor: "system" },
      });
      print(`ack ${name} ${tag} ${taken.events.map(({ position }) => position).join(",")}`);
    } catch (error) {
      const wanted = error instanceof AppError && error.code === "conflict";
      if (!wanted && !String(error).includes(ROLLED_BACK)) print(`refused ${String(error)}`);
    }
  }
}

// Rolls back after the rows are written and before the commit, in one transaction of eight.
const giveUp = random(Number(seed) * 7919);
const hook = {
  loadState: () => Promise.resolve(),
  apply() {
    if (giveUp() >= 0.125) return Promise.resolve();
    print(ROLLED_BACK);
    return Promise.reject(new Error(ROLLED_BACK));
  },
};

const sql = connect(url, { max: 4 });
const next = random(Number(seed));
let tag = 0;
await Promise.all(
  Array.from({ length: Number(writers) }, (_, i) =>
    // Two appenders a process, so that transactions also compete for the lock inside one process.
    write(new Appender(sql, { hook, maxBatch: 1 + i % 3 }), next, () => ++tag)),
);
await sql.end();
