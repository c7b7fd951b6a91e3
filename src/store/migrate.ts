// Runs the numbered SQL files once each, however many processes start together.
import { hash } from "node:crypto";
import { inTransaction, type Sql, type Tx } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";

const FOLDER = new URL("../../migrations/", import.meta.url);

// Any fixed number works: it only has to be the same in every replica.
const LOCK = 7_411_529;

export type Migration = { number: number; name: string; text: string; checksum: string };
type Applied = { number: number; name: string; checksum: string };

export async function loadMigrations(folder: URL = FOLDER): Promise<Migration[]> {
  const found: Migration[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    const number = Number(name.match(/^(\d{4})_\w+\.sql$/)?.[1]);
    if (Number.isNaN(number)) throw new AppError("invalid", `not a migration's name: ${name}`);
    const text = await Deno.readTextFile(new URL(name, folder));
    found.push({ number, name, text, checksum: hash("sha256", text, "hex") });
  }
  return found.sort((a, b) => a.number - b.number);
}

/** Returns the names it applied: none where the database is up to date with the code. */
export async function migrate(sql: Sql, migrations?: Migration[]): Promise<string[]> {
  const files = migrations ?? await loadMigrations();
  return await inTransaction(sql, async (tx) => {
    await tx`select pg_advisory_xact_lock(${LOCK})`;
    await tx`
      create table if not exists migrations (
        number   int         primary key,
        name     text        not null,
        checksum text        not null,
        at       timestamptz not null default now()
      )`;
    const applied = await tx<Applied[]>`select number, name, checksum from migrations`;
    compare(applied, files);
    const missing = files.filter((file) => !applied.some(({ number }) => number === file.number));
    for (const file of missing) await apply(tx, file);
    return missing.map((file) => file.name);
  });
}

async function apply(tx: Tx, file: Migration): Promise<void> {
  await tx.unsafe(file.text).simple();
  await tx`
    insert into migrations (number, name, checksum)
    values (${file.number}, ${file.name}, ${file.checksum})`;
}

function compare(applied: Applied[], files: Migration[]): void {
  for (const { number, name, checksum } of applied) {
    const file = files.find((candidate) => candidate.number === number);
    if (!file) {
      throw new AppError("conflict", `the database is newer than this code: it has ${name}`);
    }
    if (file.checksum !== checksum) {
      throw new AppError("conflict", `a migration changed after it was applied: ${file.name}`);
    }
  }
}

/** The check that the service makes at start, with no right to change anything. */
export async function checkMigrated(sql: Sql): Promise<"current" | "behind"> {
  const files = await loadMigrations();
  const [{ present } = { present: false }] = await sql<{ present: boolean }[]>`
    select to_regclass('migrations') is not null as present`;
  if (!present) return "behind";
  const applied = await sql<Applied[]>`select number, name, checksum from migrations`;
  compare(applied, files);
  return applied.length === files.length ? "current" : "behind";
}
