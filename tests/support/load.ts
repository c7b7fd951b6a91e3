// Readers and a writer that run while a test disturbs the stack. The writer compares every answered write
// with a read from elsewhere.
import type { Stack } from "$src/cli/stack/mod.ts";
import { CacheStatusClient } from "./client.ts";

export type Load = {
  reads: number[];
  writes: number[];
  pending: number;
  failed: string[];
  stale: string[];
};

type Options = { readers?: number; pauseMs?: number; onlyNginx?: boolean };

const PATHS = ["/", "/entries", "/users", "/results", "/items", "/items/1"];

export async function underLoad(
  stack: Stack,
  work: (load: Load) => Promise<void>,
  { readers = 6, pauseMs = 2, onlyNginx = false }: Options = {},
): Promise<Load> {
  const load: Load = { reads: [], writes: [], pending: 0, failed: [], stale: [] };
  const over = new AbortController();
  const urls = onlyNginx ? [stack.url] : [stack.url, ...stack.appUrls];
  const reading = Array.from({ length: readers }, async (_, i) => {
    using client = new CacheStatusClient(
      i % 2 === 0 ? stack.url : urls[i % urls.length] ?? stack.url,
    );
    for (let turn = i; !over.signal.aborted; turn++) {
      await read(client, PATHS[turn % PATHS.length] ?? "/", load);
      await new Promise((done) => setTimeout(done, pauseMs));
    }
  });
  const writing = (async () => {
    using writer = new CacheStatusClient(stack.url);
    const checkers = urls.map((url) => new CacheStatusClient(url));
    for (let turn = 0; !over.signal.aborted; turn++) await write(writer, checkers, turn, load);
    for (const checker of checkers) checker[Symbol.dispose]();
  })();
  try {
    await work(load);
  } finally {
    over.abort();
    await Promise.all([...reading, writing]);
  }
  return load;
}

async function read(client: CacheStatusClient, path: string, load: Load): Promise<void> {
  const asked = performance.now();
  try {
    const { status } = await client.get(path);
    if (status !== 200) load.failed.push(`GET ${path} at ${client.url}: ${status}`);
  } catch (error) {
    load.failed.push(`GET ${path} at ${client.url}: ${error}`);
  }
  load.reads.push(performance.now() - asked);
}

async function write(
  writer: CacheStatusClient,
  checkers: CacheStatusClient[],
  turn: number,
  load: Load,
): Promise<void> {
  const name = `turn ${turn}.`;
  const asked = performance.now();
  const written = await writer.send("PUT", "/items/1", { name });
  load.writes.push(performance.now() - asked);
  if (written.status !== 200) return void load.failed.push(`PUT: ${written.status}`);
  if (written.headers.get("tallybook-visible") === "pending") return void load.pending++;
  for (const checker of checkers) {
    const seen = await checker.get(turn % 2 ? "/items" : "/items/1");
    if (!seen.text.includes(name)) {
      load.stale.push(`${name} not at ${checker.url}: ${seen.cache} ${seen.text}`);
    }
  }
}
