// A backup is a folder: the exported log, named by the head it ends with, and one file of keys that
// every backup overwrites, so that the text of somebody erased since does not come back. A manifest
// beside each log states where it ends: a restore detects cut or altered files before it writes.
import { join } from "node:path";
import { createHash, type KeyObject } from "node:crypto";
import type { Database, Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { parseHead, type SignedHead, signHead } from "./signed_head.ts";
import { checkKeys, exportKeys, readableLines } from "./key_export.ts";
import { lostKeys } from "./key_loss.ts";
import { linesOf } from "./read_lines.ts";
import { readHead, sealAt } from "./read.ts";
import { checkedLines, exportEvents, importEvents } from "./export_import.ts";

const KEYS = "keys.ndjson";
const LOG = /^log-(\d+)\.ndjson$/;

export type BackupOptions = {
  folder: string;
  signing: KeyObject;
  /** How many logs to keep; older ones are removed. */
  keep?: number;
  onProgress?: (done: number, total: number) => void;
};

export type Backup = { log: string; head: SignedHead };

/** Consistent while writes go on: covers everything up to the head at its beginning. */
export async function backup(sql: Sql, options: BackupOptions): Promise<Backup> {
  const { folder, signing, keep, onProgress } = options;
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  await refuseOtherLog(sql, folder);
  await refuseLoss(sql, join(folder, KEYS));
  const head = signHead(signing, await readHead(sql), new Date());
  const log = join(folder, `log-${String(head.position).padStart(12, "0")}.ndjson`);
  // Writes the log last: where a log exists, its head and keys do too, even after an interruption.
  await writeWhole(join(folder, KEYS), () => sealedKeys(sql));
  await writeWhole(`${log}.head`, async function* () {
    yield `${JSON.stringify(head, null, 2)}\n`;
  });
  await writeWhole(log, async function* () {
    for await (const page of exportEvents(sql, { until: head.position })) {
      yield page.text;
      onProgress?.(page.position, head.position);
    }
  });
  if (keep !== undefined) await rotate(folder, keep);
  return { log, head };
}

/** The last line is a checksum of all before it, to detect a missing or altered key. */
async function* sealedKeys(sql: Sql): AsyncGenerator<string> {
  const sum = createHash("sha256");
  for await (const text of exportKeys(sql)) {
    sum.update(text);
    yield text;
  }
  yield `${JSON.stringify({ sha256: sum.digest("hex") })}\n`;
}

function unsealedKeys(text: string, path: string): string {
  const { keys, whole } = openKeys(text);
  if (whole) return keys;
  throw new AppError("invalid", `backup refused: its keys are cut off or altered: ${path}`);
}

function openKeys(text: string): { keys: string; whole: boolean } {
  const end = text.lastIndexOf("\n", text.length - 2) + 1;
  const keys = text.slice(0, end);
  const sum = createHash("sha256").update(keys).digest("hex");
  return { keys, whole: text.slice(end) === `${JSON.stringify({ sha256: sum })}\n` };
}

/**
 * One key file serves every log beside it: overwriting another log's keys would make its text
 * unreadable.
 */
async function refuseOtherLog(sql: Sql, folder: string): Promise<void> {
  for (const name of await logsIn(folder)) {
    const head = await headOf(join(folder, name));
    if (!head || head.position === 0 || await sealAt(sql, head.position) === head.seal) continue;
    const where = `${join(folder, name)} belongs to another log, or to more of this one`;
    throw new AppError("conflict", `backup refused: ${where}: back up into another folder`);
  }
}

/** Undefined where the head is damaged: no restore accepts that log any more. */
async function headOf(log: string): Promise<SignedHead | undefined> {
  try {
    return parseHead(await readText(`${log}.head`));
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
}

/** A database with damaged keys must not overwrite the good ones of an earlier backup. */
async function refuseLoss(sql: Sql, path: string): Promise<void> {
  const text = await textIfThere(path);
  if (text === undefined) return;
  const { keys, whole } = openKeys(text);
  const lost = await lostKeys(sql, readableLines(whole ? keys : text), { whole });
  if (lost.length === 0) return;
  const named = `${lost.slice(0, 10).join(", ")}${lost.length > 10 ? " and more" : ""}`;
  const what =
    `the database has lost keys that ${path} still has, of subjects that were not erased: ${named}`;
  const next = "bring them back into the database, or back up into another folder";
  throw new AppError("conflict", `backup refused: ${what}. Nothing was changed: ${next}`);
}

async function textIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new AppError("unavailable", `backup not written: ${reason(error)}: ${path}`);
  }
}

/** Renames the file when it is finished, so that a file under this name is always complete. */
async function writeWhole(path: string, parts: () => AsyncGenerator<string>): Promise<void> {
  const part = `${path}.part`;
  try {
    const file = await Deno.open(part, { write: true, create: true, truncate: true, mode: 0o600 });
    await ReadableStream.from(parts()).pipeThrough(new TextEncoderStream()).pipeTo(file.writable);
    await Deno.rename(part, path);
  } catch (error) {
    await Deno.remove(part).catch(() => undefined);
    throw new AppError("unavailable", `backup not written: ${reason(error)}: ${path}`);
  }
}

async function logsIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) if (LOG.test(name)) found.push(name);
  } catch (error) {
    throw new AppError("invalid", `backup cannot be read: ${reason(error)}: ${folder}`);
  }
  return found.sort();
}

async function rotate(folder: string, keep: number): Promise<void> {
  for (const name of (await logsIn(folder)).slice(0, -keep)) {
    await Deno.remove(join(folder, name));
    await Deno.remove(join(folder, `${name}.head`)).catch(() => undefined);
  }
}

export type Restored = { events: number; keys: number; head: SignedHead };

type RestoreProgress = (stage: "check" | "import", done: number, total: number) => void;

/** Restores the newest log of the folder, after checking all of it before the first write. */
export async function restore(
  database: Pick<Database, "sql" | "embedded">,
  folder: string,
  onProgress?: RestoreProgress,
): Promise<Restored> {
  const name = (await logsIn(folder)).at(-1);
  if (!name) throw new AppError("invalid", `no backup here: ${folder}`);
  const log = join(folder, name);
  const head = parseHead(await readText(`${log}.head`));
  const keys = unsealedKeys(await readText(join(folder, KEYS)), join(folder, KEYS));
  await checkKeys(textLines(keys));
  await check(log, head, (done) => onProgress?.("check", done, head.position));
  const { events } = await importEvents(
    database,
    linesOf((await Deno.open(log)).readable),
    {
      keys: textLines(keys),
      onProgress: (done) => onProgress?.("import", done, head.position),
    },
  );
  return { events, keys: keys.split("\n").length - 1, head };
}

async function check(log: string, head: SignedHead, onProgress: (done: number) => void) {
  let last = { position: 0, seal: "" };
  for await (const row of checkedLines(linesOf((await Deno.open(log)).readable))) {
    last = row;
    if (last.position % 1000 === 0) onProgress(last.position);
  }
  if (last.position === head.position && (head.position === 0 || last.seal === head.seal)) return;
  const where = `ends at position ${last.position}, its head says ${head.position}`;
  throw new AppError("invalid", `backup refused: ${where}: ${log}`);
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw new AppError("invalid", `backup cannot be read: ${reason(error)}: ${path}`);
  }
}

async function* textLines(text: string): AsyncGenerator<string> {
  yield* text.split("\n").filter((line) => line !== "");
}
