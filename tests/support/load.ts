// Readers and a writer that go on while something is done to the stack. The writer holds every
// answered write against a read from elsewhere.
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
    const lookers = urls.map((url) => new CacheStatusClient(url));
    for (let turn = 0; !over.signal.aborted; turn++) await write(writer, lookers, turn, load);
    for (const looker of lookers) looker[Symbol.dispose]();
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
  lookers: CacheStatusClient[],
  turn: number,
  load: Load,
): Promise<void> {
  const name = `turn ${turn}.`;
  const asked = performance.now();
  const written = await writer.send("PUT", "/items/1", { name });
  load.writes.push(performance.now() - asked);
  if (written.status !== 200) return void load.failed.push(`PUT: ${written.status}`);
  if (written.headers.get("tallybook-visible") === "pending") return void load.pending++;
  for (const looker of lookers) {
    const seen = await looker.get(turn % 2 ? "/items" : "/items/1");
    if (!seen.text.includes(name)) {
      load.stale.push(`${name} not at ${looker.url}: ${seen.cache} ${seen.text}`);
    }
  }
}
