// deno task events tail|export|import: follows the log, writes it to a file, or reads it from one.
import { parseArgs } from "node:util";
import { z } from "zod";
import { loadConfig } from "../config/config.ts";
import type { Database } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { exportKeys } from "../store/key_export.ts";
import { pagesOf, type Range, readHead } from "../store/read.ts";
import { AppendSignal } from "../store/subscribe.ts";
import { exportEvents, importEvents, lineOf } from "../store/export_import.ts";
import { linesOf } from "../store/read_lines.ts";
import { openLog } from "./log.ts";
import { progress } from "./progress.ts";
import { print, run, say } from "./run.ts";

const USAGE = `usage: deno task events tail   [--after N] [--stream S] [--type T]...
       deno task events export [FILE] [--after N] [--until N] [--stream S] [--type T]... [--keys FILE]
       deno task events import [FILE] [--keys FILE]`;

const options = {
  after: { type: "string" },
  until: { type: "string" },
  stream: { type: "string" },
  type: { type: "string", multiple: true },
  keys: { type: "string" },
} as const;

const position = z.coerce.number("not a position").int().nonnegative().optional();
const rangeSchema = z.object({
  after: position,
  until: position,
  stream: z.string().optional(),
  type: z.array(z.string()).optional(),
});

type Given = { range: Range; file?: string; keys?: string };

function parse(args: string[]): { verb: string | undefined; given: Given } {
  const { values, positionals: [verb, file, ...rest] } = parseArgs({
    args,
    options,
    allowPositionals: true,
  });
  if (rest.length > 0) throw new AppError("invalid", `unknown argument: ${rest[0]}\n${USAGE}`);
  const parsed = rangeSchema.safeParse(values);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new AppError("invalid", `--${issue?.path.join(".")}: ${issue?.message}`);
  }
  const { type: types, ...range } = parsed.data;
  return { verb, given: { range: { ...range, types }, file, keys: values.keys } };
}

async function tail({ sql, embedded }: Database, { range }: Given, signal: AbortSignal) {
  await using wakeups = new AppendSignal();
  if (!embedded) await wakeups.listen(sql);
  let after = range.after ?? Math.max(0, (await readHead(sql)).position - 10);
  while (!signal.aborted) {
    const woken = wakeups.next(500, signal);
    for await (const rows of pagesOf(sql, { ...range, after })) {
      await print(rows.map((row) => `${lineOf(row)}\n`).join(""));
      after = rows.at(-1)?.position ?? after;
    }
    await woken;
  }
}

async function exportAll({ sql }: Database, { range, file, keys }: Given, signal: AbortSignal) {
  const { position: head } = await readHead(sql);
  const until = Math.min(range.until ?? head, head);
  await using out = await sinkOf(file);
  const bar = progress("export");
  for await (const page of exportEvents(sql, { ...range, until })) {
    if (signal.aborted) throw new AppError("unavailable", `interrupted: after ${page.position}`);
    await out.write(page.text);
    bar.update(page.position, until);
  }
  await out.keep();
  bar.finish();
  if (keys) {
    await using sink = await sinkOf(keys, 0o600);
    for await (const text of exportKeys(sql)) await sink.write(text);
    await sink.keep();
  }
  say(`exported the log up to position ${until}`);
}

async function importAll(database: Database, { file, keys }: Given, signal: AbortSignal) {
  // After a failed import, a pipe that stays open would keep the process waiting for the next line.
  const finished = new AbortController();
  const either = AbortSignal.any([signal, finished.signal]);
  const lines = linesOf(await sourceOf(file), either);
  const keyLines = keys === undefined ? undefined : linesOf(await sourceOf(keys), either);
  const bar = progress("import");
  const options = { keys: keyLines, onProgress: bar.update };
  try {
    const { events, seal } = await importEvents(database, lines, options);
    bar.finish();
    say(`imported ${events} events, seal ${seal}`);
  } finally {
    finished.abort();
  }
}

async function sinkOf(path?: string, mode = 0o644) {
  if (path === undefined || path === "-") {
    return { write: print, async keep() {}, async [Symbol.asyncDispose]() {} };
  }
  const part = `${path}.part`;
  const file = await Deno.open(part, { write: true, create: true, truncate: true, mode }).catch(
    (error) => {
      throw new AppError("invalid", `file cannot be written: ${reason(error)}: ${path}`);
    },
  );
  const writer = file.writable.getWriter();
  return {
    write: (text: string) => writer.write(new TextEncoder().encode(text)),
    async keep() {
      await writer.close();
      await Deno.rename(part, path);
    },
    /** Removes an unfinished file. */
    async [Symbol.asyncDispose]() {
      await writer.close().catch(() => undefined);
      await Deno.remove(part).catch(() => undefined);
    },
  };
}

async function sourceOf(path?: string): Promise<ReadableStream<Uint8Array>> {
  if (path === undefined || path === "-") return Deno.stdin.readable;
  try {
    if ((await Deno.stat(path)).isDirectory) throw new Error("a folder");
    return (await Deno.open(path)).readable;
  } catch (error) {
    throw new AppError("invalid", `file cannot be read: ${reason(error)}: ${path}`);
  }
}

await run(async (signal) => {
  const { verb, given } = parse(Deno.args);
  if (!verb || !["tail", "export", "import"].includes(verb)) throw new AppError("invalid", USAGE);
  await using database = await openLog(loadConfig(), 3);
  if (verb === "tail") await tail(database, given, signal);
  if (verb === "export") await exportAll(database, given, signal);
  if (verb === "import") await importAll(database, given, signal);
});
