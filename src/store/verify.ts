// Checks the log against its own seals, and against a saved head.
import type { Sql } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";
import type { Head } from "./signed_head.ts";
import { findKeys } from "./personal_data.ts";
import { isUndecryptable, readHead } from "./read.ts";
import { canonicalOfStored, GENESIS, type Sealable, sealOf } from "./hash_chain.ts";

/** An event whose seal fits, but whose text does not decrypt with its key. */
export type Shut = { position: number; subject: string };

export type Verdict =
  | { ok: true; head: Head; unreadable?: Shut[] }
  | { ok: false; position: number; problem: string };

/** As text, because parsing would round numbers that the database can tell apart. */
type Stored = Sealable & { data: string; meta: string; seal: string };

const PAGE = 500;
const MOST_NAMED = 100;

export type VerifyOptions = {
  /** A head saved earlier, its signature already checked. */
  saved?: Head;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
};

export async function verifyLog(sql: Sql, options: VerifyOptions = {}): Promise<Verdict> {
  const { saved, signal, onProgress } = options;
  const head = await readHead(sql);
  let last: Head = { position: 0, seal: GENESIS };
  const undecryptable: Shut[] = [];
  for await (const rows of pages(sql, head.position)) {
    for (const row of rows) {
      const problem = problemOf(row, last) ?? notAsSaved(row, saved);
      if (problem) return problem;
      last = row;
    }
    if (undecryptable.length < MOST_NAMED) {
      undecryptable.push(...await findUndecryptable(sql, rows));
    }
    onProgress?.(last.position, head.position);
    if (signal?.aborted) throw new AppError("unavailable", `interrupted: after ${last.position}`);
  }
  const verdict = await ending(sql, { head, last, saved });
  return verdict.ok && undecryptable.length > 0
    ? { ...verdict, unreadable: undecryptable.slice(0, MOST_NAMED) }
    : verdict;
}

async function findUndecryptable(sql: Sql, rows: Stored[]): Promise<Shut[]> {
  const personal = rows.filter(({ data }) => data.includes('"$enc"'));
  const keys = await findKeys(sql, personal.map(({ stream }) => stream));
  return personal.filter((row) => isUndecryptable({ ...row, data: JSON.parse(row.data) }, keys))
    .map(({ position, stream }) => ({ position, subject: stream }));
}

async function* pages(sql: Sql, until: number): AsyncGenerator<Stored[]> {
  for (let after = 0; after < until;) {
    const rows = await sql<Stored[]>`
      select position, stream, version, type, data::text as data, meta::text as meta, at, seal
      from events
      where position > ${after} and position <= ${until}
      order by position
      limit ${PAGE}`;
    const last = rows.at(-1);
    if (!last) return;
    yield rows;
    after = last.position;
  }
}

function problemOf(row: Stored, last: Head): Verdict | undefined {
  const next = last.position + 1;
  if (row.position !== next) return { ok: false, position: next, problem: "removed" };
  const [data, meta] = [canonicalOfStored(row.data), canonicalOfStored(row.meta)];
  if (data !== undefined && meta !== undefined) {
    if (sealOf(last.seal, row, data, meta) === row.seal) return;
  }
  return {
    ok: false,
    position: next,
    problem: "changed, inserted or moved: its seal does not fit",
  };
}

function notAsSaved(row: Stored, saved?: Head): Verdict | undefined {
  if (row.position !== saved?.position || row.seal === saved.seal) return;
  const problem = "rewritten: its seal is not the one in the saved head";
  return { ok: false, position: row.position, problem };
}

type Ends = { head: Head; last: Head; saved?: Head };

async function ending(sql: Sql, { head, last, saved }: Ends): Promise<Verdict> {
  if (last.position < Math.max(head.position, saved?.position ?? 0)) {
    return { ok: false, position: last.position + 1, problem: "removed: the log ends before it" };
  }
  if (last.seal !== head.seal) {
    return { ok: false, position: head.position, problem: "the counter's seal is not the event's" };
  }
  const beyond = await beyondCounter(sql);
  if (beyond === undefined) return { ok: true, head: { position: last.position, seal: last.seal } };
  return { ok: false, position: beyond, problem: "inserted: it is beyond the counter" };
}

async function beyondCounter(sql: Sql): Promise<number | undefined> {
  const [row] = await sql<{ position: number }[]>`
    select e.position from events e, counter c where e.position > c.position
    order by e.position limit 1`;
  return row?.position;
}
