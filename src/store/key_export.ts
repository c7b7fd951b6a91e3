// The one file of keys beside an exported log: a line a key. An erased subject is gone from a
// backup as soon as this file is next written.
import { z } from "zod";
import { inTransaction, type Sql, type Tx } from "../connections/postgres.ts";
import { AppError } from "../errors.ts";

const PAGE = 5000;

const keySchema = z.strictObject({ subject: z.string().min(1), key: z.base64() });
const settingSchema = z.strictObject({ setting: z.enum(["email_key"]), value: z.string() });
const lineSchema = z.union([keySchema, settingSchema]);

export type KeyLine = z.infer<typeof lineSchema>;
type Key = z.infer<typeof keySchema>;
type Setting = z.infer<typeof settingSchema>;

export async function* exportKeys(sql: Sql): AsyncGenerator<string> {
  const settings = await sql<{ setting: string; value: string }[]>`
    select name as setting, value from settings where name = 'email_key'`;
  for (const row of settings) yield `${JSON.stringify(row)}\n`;
  let after = "";
  while (true) {
    const rows = await sql<{ subject: string; key: Uint8Array }[]>`
      select subject, key from keys where subject > ${after} order by subject limit ${PAGE}`;
    const last = rows.at(-1);
    if (!last) return;
    yield rows.map(({ subject, key }) =>
      `${JSON.stringify({ subject, key: Buffer.from(key).toString("base64") })}\n`
    ).join("");
    after = last.subject;
  }
}

/** Checks a key file without writing: an error names the broken line before anything is restored. */
export async function checkKeys(lines: AsyncIterable<string>): Promise<void> {
  let number = 0;
  for await (const line of lines) parseLine(line, ++number);
}

export async function importKeys(sql: Sql, lines: AsyncIterable<string>): Promise<number> {
  return await inTransaction(sql, (tx) => insertKeyLines(tx, lines));
}

/** Runs in the transaction of an import: a broken key file leaves no log without its keys behind. */
export async function insertKeyLines(tx: Tx, lines: AsyncIterable<string>): Promise<number> {
  let number = 0;
  const page: Key[] = [];
  for await (const line of lines) {
    const row = parseLine(line, ++number);
    if ("setting" in row) await setSetting(tx, row);
    else if (page.push(row) >= PAGE) await insertKeys(tx, page.splice(0));
  }
  await insertKeys(tx, page);
  return number;
}

async function insertKeys(tx: Tx, keys: Key[]): Promise<void> {
  await tx`
    insert into keys (subject, key)
    select subject, decode(key, 'base64')
    from unnest(
      ${keys.map((row) => row.subject)}::text[],
      ${keys.map((row) => row.key)}::text[]
    ) k(subject, key)
    on conflict (subject) do nothing`;
}

async function setSetting(tx: Tx, { setting, value }: Setting): Promise<void> {
  await tx`
    insert into settings (name, value) values (${setting}, ${value})
    on conflict (name) do update set value = excluded.value`;
}

/** The lines of a possibly damaged key file that can still be read. */
export function readableLines(text: string): KeyLine[] {
  return text.split("\n").flatMap((line) => {
    try {
      return [lineSchema.parse(JSON.parse(line))];
    } catch {
      return [];
    }
  });
}

function parseLine(line: string, number: number): KeyLine {
  try {
    return lineSchema.parse(JSON.parse(line));
  } catch {
    throw new AppError("invalid", `line ${number} of the key file refused`);
  }
}
