// Exports and imports the log: one event a line, with positions, times and seals unchanged.
import { z } from "zod";
import { isEventType, type Meta, parseStored, personal, upcasters } from "$events/mod.ts";
import { type Database, inTransaction, type Sql, type Tx } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { insertKeyLines } from "./key_export.ts";
import { MAX_STREAM_LENGTH } from "./append_prepare.ts";
import { pagesOf, type Range, type StoredEvent } from "./read.ts";
import { canonical, GENESIS, isStorable, sealOf } from "./hash_chain.ts";
import { type CheckedEvent, rowWriter } from "./import_rows.ts";

const lineSchema = z.strictObject({
  position: z.int().positive(),
  stream: z.string().min(1).max(MAX_STREAM_LENGTH),
  version: z.int().positive(),
  type: z.string(),
  data: z.record(z.string(), z.unknown()),
  meta: z.looseObject({ actor: z.enum(["visitor", "admin", "system"]) }),
  // No finer than the seal covers.
  at: z.iso.datetime({ precision: 3 }),
  seal: z.string(),
});

export type ExportPage = { text: string; position: number };

export async function* exportEvents(sql: Sql, range: Range): AsyncGenerator<ExportPage> {
  for await (const rows of pagesOf(sql, range)) {
    const text = rows.map((row) => `${lineOf(row)}\n`).join("");
    yield { text, position: rows.at(-1)?.position ?? 0 };
  }
}

export function lineOf(row: StoredEvent): string {
  const { position, stream, version, type, data, meta, at, seal } = row;
  return JSON.stringify({ position, stream, version, type, data, meta, at, seal });
}

export type Imported = { events: number; seal: string };

export type ImportOptions = {
  /** Lines of the key file beside the log, imported together with it or not at all. */
  keys?: AsyncIterable<string>;
  onProgress?: (events: number) => void;
};

/** All or nothing: into a log without events, in one transaction; an error names its line. */
export async function importEvents(
  { sql, embedded }: Pick<Database, "sql" | "embedded">,
  lines: AsyncIterable<string>,
  { keys, onProgress }: ImportOptions = {},
): Promise<Imported> {
  return await inTransaction(sql, async (tx) => {
    await refuseUnlessEmpty(tx);
    await using writer = rowWriter(tx, embedded);
    const highest = new Map<string, number>();
    let last = { position: 0, seal: GENESIS, at: new Date(0) };
    for await (const row of checkedLines(lines)) {
      await writer.write(row);
      noteId(highest, row.stream);
      last = row;
      if (last.position % 1000 === 0) onProgress?.(last.position);
    }
    await writer.finish();
    await refuseHoles(tx);
    await tx`
      update counter set position = ${last.position}, seal = ${last.seal}, at = ${last.at}`;
    await moveIds(tx, highest);
    if (keys) await insertKeyLines(tx, keys);
    onProgress?.(last.position);
    return { events: last.position, seal: last.seal };
  });
}

async function refuseUnlessEmpty(tx: Tx): Promise<void> {
  const [head] = await tx<{ position: number }[]>`select position from counter for update`;
  if (head?.position === 0) return;
  throw new AppError("conflict", `import needs a log without events: this has ${head?.position}`);
}

/** An index makes versions unique; one query at the end checks that none is missing. */
async function refuseHoles(tx: Tx): Promise<void> {
  const [hole] = await tx<{ stream: string; versions: number; highest: number }[]>`
    select stream, count(*) as versions, max(version) as highest
    from events group by stream having max(version) <> count(*) limit 1`;
  if (!hole) return;
  const { stream, versions, highest } = hole;
  throw new AppError("invalid", `${stream} has ${versions} events, and version ${highest}`);
}

/** Parses lines and checks them against the chain, for an import and for the check before a restore. */
export async function* checkedLines(lines: AsyncIterable<string>): AsyncGenerator<CheckedEvent> {
  let number = 0;
  let last = { position: 0, seal: GENESIS };
  const versions = new Versions();
  for await (const line of lines) {
    number++;
    if (line.trim() === "") continue;
    const row = refuseAt(number, () => {
      const checked = checkLine(line, last);
      versions.check(checked);
      return checked;
    });
    yield row;
    last = row;
  }
}

/** Remembers so many streams and then starts anew: the database makes the final check. */
class Versions {
  readonly #known = new Map<string, number>();
  #forgotten = false;

  check({ stream, version }: StoredEvent): void {
    if (this.#known.size > MAX_TRACKED) {
      this.#known.clear();
      this.#forgotten = true;
    }
    const known = this.#known.get(stream) ?? (this.#forgotten ? undefined : 0);
    this.#known.set(stream, version);
    if (known === undefined || version === known + 1) return;
    throw new Error(`version ${version} of ${stream} after ${known}`);
  }
}

const MAX_TRACKED = 50_000;

function refuseAt<Result>(line: number, check: () => Result): Result {
  try {
    return check();
  } catch (error) {
    throw new AppError("invalid", `line ${line} refused: ${printable(reason(error))}`);
  }
}

/** A file may hold anything: escapes control characters, so that they do not act on the terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (one) => JSON.stringify(one).slice(1, -1))
    .replace(/[\x7f-\x9f]/g, (one) => `\\u00${one.charCodeAt(0).toString(16)}`);
}

function checkLine(line: string, last: { position: number; seal: string }): CheckedEvent {
  const parsed = lineSchema.safeParse(parseJson(line));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`${issue?.path.join(".") || "event"}: ${issue?.message}`);
  }
  const row = { ...parsed.data, meta: parsed.data.meta as Meta, at: new Date(parsed.data.at) };
  if (row.position !== last.position + 1) {
    throw new Error(`position ${row.position} after ${last.position}`);
  }
  checkData(row);
  if (mayHoldOddText(line) && !isStorable(parsed.data)) {
    throw new Error("text with NUL or half a surrogate pair");
  }
  const texts = { data: canonical(row.data), meta: canonical(row.meta) };
  const seal = sealOf(last.seal, row, texts.data, texts.meta);
  if (seal !== row.seal) throw new Error(`the seal does not fit: position ${row.position}`);
  return { ...row, texts };
}

/** JSON has NUL as an escape only, and half a surrogate pair as an escape or in invalid UTF-8. */
function mayHoldOddText(line: string): boolean {
  return line.includes("\\u") || !line.isWellFormed();
}

// The first two bytes of a gzip file, the second of which is not UTF-8.
const GZIP = "\x1f\ufffd";

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    if (line.startsWith(GZIP)) throw new Error("compressed with gzip: unpack the file first");
    throw new Error(`not JSON: ${line.slice(0, 40)}`);
  }
}

function checkData({ type, data }: StoredEvent): void {
  if (Object.hasOwn(upcasters, type)) return;
  if (!isEventType(type)) throw new Error(`unknown event type: ${type}`);
  const clear = { ...(data as Record<string, unknown>) };
  for (const field of personal[type] ?? []) if (field in clear) clear[field] = "";
  const result = parseStored(type, clear);
  if (result.success) return;
  const [issue] = result.error.issues;
  throw new Error(`${type}: ${issue?.path.join(".")}: ${issue?.message}`);
}

const IDS = ["entry", "user", "item", "poll"];

function noteId(highest: Map<string, number>, stream: string): void {
  const [, subject, id] = stream.match(/^([a-z]+)-(\d+)$/) ?? [];
  if (!subject || !IDS.includes(subject)) return;
  highest.set(subject, Math.max(highest.get(subject) ?? 0, Number(id)));
}

async function moveIds(tx: Tx, highest: Map<string, number>): Promise<void> {
  for (const [subject, id] of highest) await tx`select setval(${`${subject}_ids`}, ${id})`;
}
