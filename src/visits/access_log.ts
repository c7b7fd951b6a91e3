// Reads Nginx's access log: the one source for page views and for the hits of Nginx's cache. Only
// the leader reads it. The event log stores how far the views are counted, in the same append as
// the views; so a crash at any moment counts nothing twice and loses nothing.
import { hash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { countVisits } from "../commands/visits.ts";
import type { CacheCounts } from "../cache/read_through.ts";
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import type { Job } from "../leader/leader.ts";
import { log } from "../log.ts";
import type { Appender } from "../store/appender.ts";
import { lookupOf, parseLine, viewOf } from "./access_log_line.ts";

const LOOK_MS = 1000;
const CHUNK = 1024 * 1024;
const NAME = "access-log";

const stateSchema = z.object({
  file: z.string(),
  offset: z.number(),
  counts: z.record(z.string(), z.object({ hits: z.number(), misses: z.number() })),
});
type State = z.infer<typeof stateSchema>;
type File = { path: string; id: string; size: number };

export type AccessLogOptions = { sql: Sql; appender: Appender; path: string };

export class AccessLog {
  readonly #sql: Sql;
  readonly #appender: Appender;
  readonly #path: string;

  constructor({ sql, appender, path }: AccessLogOptions) {
    this.#sql = sql;
    this.#appender = appender;
    this.#path = path;
  }

  job: Job = async ({ signal }) => {
    while (!signal.aborted) {
      try {
        await this.follow(signal);
      } catch (error) {
        log.warn("visits.log_failed", { error: reason(error) });
      }
      await delay(LOOK_MS, signal);
    }
  };

  /** Counts up to the current end of the access log. */
  async follow(signal?: AbortSignal): Promise<void> {
    let state = await readState(this.#sql);
    for (const file of await this.#filesFrom(state?.file)) {
      if (state?.file !== file.id) {
        state = { file: file.id, offset: 0, counts: state?.counts ?? {} };
      }
      while (state.offset < file.size && !signal?.aborted) {
        const next: State = await this.#step(file, state);
        if (next.offset === state.offset) break;
        state = next;
      }
    }
  }

  /** A file that was rotated away is finished first; an unknown file is read from its beginning. */
  async #filesFrom(id: string | undefined): Promise<File[]> {
    const current = await fileAt(this.#path);
    const files = current ? [current] : [];
    if (id === undefined || current?.id === id) return files;
    const older: (File & { at: number })[] = [];
    for await (const { name, isFile } of Deno.readDir(dirname(this.#path))) {
      if (!isFile || !name.startsWith(`${basename(this.#path)}.`)) continue;
      const path = join(dirname(this.#path), name);
      const file = await fileAt(path);
      if (file) older.push({ ...file, at: (await Deno.stat(path)).mtime?.getTime() ?? 0 });
    }
    older.sort((a, b) => a.at - b.at);
    const from = older.findIndex((file) => file.id === id);
    return from < 0 ? files : [...older.slice(from), ...files];
  }

  async #step(file: File, state: State): Promise<State> {
    const bytes = await readChunk(file.path, state.offset);
    const end = bytes.lastIndexOf(10) + 1;
    const viewed = await this.#viewedUntil(file.id);
    const views = new Map<string, number>();
    const counts = structuredClone(state.counts);
    let at = state.offset;
    for (const part of splitLines(bytes.subarray(0, end))) {
      const line = parseLine(new TextDecoder().decode(part));
      const page = line && at >= viewed ? viewOf(line) : undefined;
      const lookup = line && lookupOf(line);
      if (page !== undefined) views.set(page, (views.get(page) ?? 0) + 1);
      if (lookup) {
        const kind = counts[lookup.kind] ??= { hits: 0, misses: 0 };
        kind[lookup.hit ? "hits" : "misses"]++;
      }
      at += part.length + 1;
    }
    const next = { file: file.id, offset: at, counts };
    if (views.size > 0 && !await this.#writeViews(views, next, viewed)) return state;
    if (at > state.offset) await writeState(this.#sql, next);
    return next;
  }

  /** False where another leader wrote these views first: the next round reads again. */
  async #writeViews(views: Map<string, number>, to: State, from: number): Promise<boolean> {
    const { replayed } = await this.#appender.append({
      ...countVisits(views),
      meta: { actor: "system", key: `${NAME}:${to.file}:${to.offset}` },
      idempotency: { scope: NAME, key: `${to.file}:${from}`, fingerprint: NAME },
    });
    return !replayed;
  }

  async #viewedUntil(file: string): Promise<number> {
    const [row] = await this.#sql<{ key: string }[]>`
      select meta->>'key' as key from events
      where type = 'VisitsCounted' and starts_with(meta->>'key', ${`${NAME}:`})
      order by position desc limit 1`;
    const [, known, offset] = row?.key.split(":") ?? [];
    return known === file ? Number(offset) : 0;
  }
}

/** Hits and misses of Nginx's cache since the log began, by kind of address. */
export async function nginxCounts(sql: Sql): Promise<CacheCounts[]> {
  const state = await readState(sql);
  return Object.entries(state?.counts ?? {}).map(([kind, counts]) => ({ kind, ...counts }))
    .sort((a, b) => a.kind < b.kind ? -1 : 1);
}

async function readState(sql: Sql): Promise<State | undefined> {
  const [row] = await sql`
    select file, byte_offset as offset, lookups as counts from access_log_progress where site = 1`;
  return row ? stateSchema.parse(row) : undefined;
}

async function writeState(sql: Sql, state: State): Promise<void> {
  const { file, offset, counts } = state;
  await sql`
    insert into access_log_progress (site, file, byte_offset, lookups)
    values (1, ${file}, ${offset}, ${JSON.stringify(counts)}::text::jsonb)
    on conflict (site) do update set
      file = excluded.file, byte_offset = excluded.byte_offset, lookups = excluded.lookups`;
}

/** A file is identified by its first line: it holds a time and a request id, so no other begins so. */
async function fileAt(path: string): Promise<File | undefined> {
  try {
    const first = await readChunk(path, 0, 4096);
    const end = first.indexOf(10);
    if (end < 0) return undefined;
    const id = hash("sha256", first.subarray(0, end), "hex").slice(0, 16);
    return { path, id, size: (await Deno.stat(path)).size };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function readChunk(path: string, offset: number, size = CHUNK): Promise<Uint8Array> {
  using file = await Deno.open(path);
  await file.seek(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(size);
  let length = 0;
  while (length < size) {
    const got = await file.read(bytes.subarray(length));
    if (got === null) break;
    length += got;
  }
  return bytes.subarray(0, length);
}

function* splitLines(bytes: Uint8Array): Generator<Uint8Array> {
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(10, from);
    yield bytes.subarray(from, end);
    from = end + 1;
  }
}
