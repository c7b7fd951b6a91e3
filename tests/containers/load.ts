// Writers and readers that go on through faults, and record the responses they got.
import { sign } from "./system.ts";

export type Load = {
  /** The ids that were answered with 201. */
  acknowledged: number[];
  refused: number;
  reads: number;
  failedReads: string[];
  /**
   * Retries a request whose kept connection Nginx' old workers closed just as it was used, as
   * browsers do.
   */
  askedAgain: number;
  stop(): Promise<void>;
};

const PAUSE_MS = 10;

export function startLoad(url: string, { writers = 4, readers = 2 } = {}): Load {
  const stopping = new AbortController();
  const load: Load = {
    acknowledged: [],
    refused: 0,
    reads: 0,
    failedReads: [],
    askedAgain: 0,
    async stop() {
      stopping.abort();
      await Promise.all(running);
    },
  };
  const running = [
    ...Array.from({ length: writers }, (_, number) => again(() => write(url, load, number))),
    ...Array.from({ length: readers }, () => again(() => read(url, load))),
  ];
  async function again(work: () => Promise<void>): Promise<void> {
    while (!stopping.signal.aborted) {
      await work();
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
  }
  return load;
}

/** A write with no response, or an error, was not acknowledged: it may be stored or not. */
async function write(url: string, load: Load, number: number): Promise<void> {
  try {
    const answer = await sign(url, `from writer ${number}`);
    const body = await answer.json();
    if (answer.status === 201) load.acknowledged.push(body.id);
    else load.refused++;
  } catch {
    load.refused++;
  }
}

const SAFE = ["/", "/entries", "/polls", "/entries?limit=3"];

async function read(url: string, load: Load): Promise<void> {
  const path = SAFE[load.reads++ % SAFE.length];
  const note = (what: string) =>
    load.failedReads.push(`${new Date().toISOString()} ${path}: ${what}`);
  try {
    const answer = await get(url + path).catch((error) => {
      if (!(error instanceof TypeError)) throw error;
      load.askedAgain++;
      return get(url + path);
    });
    const text = await answer.text();
    if (answer.status !== 200) note(`${answer.status} ${text.slice(0, 200)}`);
  } catch (error) {
    note(String(error));
  }
}

function get(url: string): Promise<Response> {
  return fetch(url, { signal: AbortSignal.timeout(20_000) });
}

/** The acknowledged entries that are missing. */
export async function lost(url: string, load: Load): Promise<number[]> {
  const there = new Set<number>();
  for (let before = "";;) {
    const answer = await fetch(`${url}/entries?limit=100${before}`, {
      headers: { accept: "application/json" },
    });
    const page: { id: number }[] = await answer.json();
    for (const { id } of page) there.add(id);
    const last = page.at(-1);
    if (!last) break;
    before = `&before=${last.id}`;
  }
  return load.acknowledged.filter((id) => !there.has(id));
}
