// Repeats a write and at once a read by another client, while other readers go on.
import { type Stack } from "$src/cli/stack/mod.ts";
import { CacheStatusClient, type CacheStatusResponse } from "../support/client.ts";

export type Trial = {
  writes: number;
  pending: number;
  stale: string[];
  /** Milliseconds of each write, and from its response to the first read that shows it. */
  answered: number[];
  seen: number[];
  reads: number;
};

type Round = {
  write: (client: CacheStatusClient) => Promise<CacheStatusResponse>;
  reads: { path: string; accept: string; shows: (answer: CacheStatusResponse) => boolean }[];
};

const READERS = 8;
const READS_A_WRITE = 19;
const HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const JSON_ = "application/json";
const PATHS = ["/", "/entries", "/users", "/users/1", "/results", "/polls/1", "/items", "/items/1"];

export async function freshnessTrial(stack: Stack, rounds: number): Promise<Trial> {
  using writer = new CacheStatusClient(stack.url);
  using checker = new CacheStatusClient(stack.url);
  await firstOfAll(writer);
  const trial: Trial = { writes: 0, pending: 0, stale: [], answered: [], seen: [], reads: 0 };
  const budget = new Budget();
  const reading = Array.from({ length: READERS }, () => readOn(stack.url, budget, trial));
  let votes = await votesNow(checker);
  trial.reads++;
  for (let i = 0; i < rounds; i++) {
    budget.add(READS_A_WRITE - 1);
    if (i % 4 === 2) votes++;
    await once(roundOf(i, votes), { writer, checker, trial, i });
  }
  budget.end();
  await Promise.all(reading);
  return trial;
}

const PAGES = 20;
// Few, as readers that miss a page at the same moment count as a miss each.
const HIT_READERS = 4;

export type Hits = { reads: number; hits: number; stale: string[] };

/** Each write changes one of PAGES pages, every other one of which is read as HTML. */
export async function hitTrial(stack: Stack, writes: number): Promise<Hits> {
  using writer = new CacheStatusClient(stack.url);
  using checker = new CacheStatusClient(stack.url);
  const pages: { path: string; accept: string }[] = [];
  for (let i = 0; i < PAGES; i++) {
    const { text } = await writer.send("POST", "/items", { name: `page ${i}` });
    pages.push({ path: `/items/${JSON.parse(text).id}`, accept: i % 2 ? HTML : JSON_ });
  }
  const seen: Hits = { reads: 0, hits: 0, stale: [] };
  const read = async (
    client: CacheStatusClient,
    page = pages[Math.floor(Math.random() * PAGES)],
  ) => {
    const answer = await client.get(page?.path ?? "/", page?.accept);
    seen.reads++;
    if (answer.cache === "HIT") seen.hits++;
    return answer;
  };
  const budget = new Budget();
  const reading = Array.from({ length: HIT_READERS }, async () => {
    using client = new CacheStatusClient(stack.url);
    while (await budget.take()) await read(client);
  });
  for (let i = 0; i < writes; i++) {
    budget.add(READS_A_WRITE - 1);
    const page = pages[Math.floor(Math.random() * PAGES)];
    const name = `write ${i}.`;
    await writer.send("PUT", page?.path ?? "/", { name });
    const answer = await read(checker, page);
    if (!answer.text.includes(name)) seen.stale.push(`${name} ${answer.cache} ${answer.text}`);
  }
  budget.end();
  await Promise.all(reading);
  return seen;
}

async function votesNow(client: CacheStatusClient): Promise<number> {
  return sumOf((await client.get("/results?now")).text);
}

async function firstOfAll(client: CacheStatusClient): Promise<void> {
  await client.send("POST", "/users", { name: "first", email: "first@example.com" });
  await client.send("POST", "/items", { name: "first", description: "first" });
}

async function once(
  { write, reads }: Round,
  { writer, checker, trial, i }: {
    writer: CacheStatusClient;
    checker: CacheStatusClient;
    trial: Trial;
    i: number;
  },
): Promise<void> {
  const asked = performance.now();
  const written = await write(writer);
  const answered = performance.now();
  trial.writes++;
  trial.answered.push(answered - asked);
  if (written.status >= 400) throw new Error(`round ${i}: ${written.status}: ${written.text}`);
  if (written.headers.get("tallybook-visible") === "pending") {
    trial.pending++;
    trial.stale.push(`round ${i}: pending`);
  }
  const read = reads[Math.floor(i / 4) % reads.length] ?? reads[0];
  if (!read) return;
  const answer = await checker.get(read.path, read.accept);
  trial.reads++;
  trial.seen.push(performance.now() - answered);
  if (read.shows(answer)) return;
  trial.stale.push(
    `round ${i}: ${read.path} ${read.accept} ${answer.status} ${answer.cache} at ` +
      `${answer.position}, written ${written.position}`,
  );
}

function roundOf(i: number, votes: number): Round {
  const name = `round ${i}.`;
  const showsName = (answer: CacheStatusResponse) => answer.text.includes(name);
  if (i % 4 === 0) {
    return {
      write: (client) => client.send("POST", "/sign", { name, message: "hello" }),
      reads: [
        { path: "/", accept: HTML, shows: showsName },
        { path: "/", accept: JSON_, shows: showsName },
        { path: "/entries", accept: JSON_, shows: showsName },
        { path: "/entries", accept: HTML, shows: showsName },
      ],
    };
  }
  if (i % 4 === 1) {
    return {
      write: (client) => client.send("PUT", "/users/1", { name }),
      reads: [
        { path: "/users/1", accept: JSON_, shows: showsName },
        { path: "/users/1", accept: HTML, shows: showsName },
        { path: "/users", accept: JSON_, shows: showsName },
      ],
    };
  }
  if (i % 4 === 2) {
    // Each vote is a new voter's, so the sum shows whether it is counted.
    return {
      write: (client) => {
        client.forgetCookies();
        return client.send("POST", "/polls/1/votes", {
          option: i % 8 === 2 ? "option_a" : "option_b",
        });
      },
      reads: [
        { path: "/results", accept: JSON_, shows: ({ text }) => sumOf(text) === votes },
        {
          path: "/polls/1/results",
          accept: JSON_,
          shows: ({ text }) => JSON.parse(text).votes === votes,
        },
      ],
    };
  }
  return {
    write: (client) => client.send("PUT", "/items/1", { name }),
    reads: [
      { path: "/items/1", accept: JSON_, shows: showsName },
      { path: "/items", accept: HTML, shows: showsName },
    ],
  };
}

function sumOf(text: string): number {
  const votes: unknown[] = Object.values(JSON.parse(text));
  return votes.reduce((sum: number, each) => sum + Number(each), 0);
}

/** A number of reads for each write, shared by all readers. */
class Budget {
  #left = 0;
  #ended = false;
  #waiting: (() => void)[] = [];

  add(reads: number): void {
    this.#left += reads;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  end(): void {
    this.#ended = true;
    this.add(0);
  }

  async take(): Promise<boolean> {
    while (this.#left === 0) {
      if (this.#ended) return false;
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
    this.#left--;
    return true;
  }
}

async function readOn(url: string, budget: Budget, trial: Trial): Promise<void> {
  using client = new CacheStatusClient(url);
  // Every reader has signed: their cookies must not keep them from the cache.
  await client.send("POST", "/sign", { name: "reader", message: "hello" });
  for (let i = 0; await budget.take(); i++) {
    const path = PATHS[Math.floor(Math.random() * PATHS.length)] ?? "/";
    const accept = path === "/results" || Math.random() < 0.3 ? JSON_ : HTML;
    const answer = await client.get(path, accept);
    trial.reads++;
    if (answer.status !== 200) trial.stale.push(`reader: ${path} ${answer.status}`);
  }
}

export function distribution(values: number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]?.toFixed(1) ?? "-";
  return `median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, max ${at(1)} ms`;
}
