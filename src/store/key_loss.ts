// Finds what would be lost if the database's keys replaced an earlier key file: text that only the
// earlier keys decrypt, of a subject that was not erased.
import type { EventType } from "$events/mod.ts";
import type { Sql } from "../connections/postgres.ts";
import type { KeyLine } from "./key_export.ts";
import { findKeys, type Keys } from "./personal_data.ts";
import { isUndecryptable, type StoredEvent } from "./read.ts";

const PAGE = 5000;

/** After these events a key is missing on purpose. */
const ERASED: EventType[] = ["EntryErased", "UserErased"];

/**
 * The first subjects found, none if nothing is lost. A subject without events belongs to another
 * log; where the earlier file is not `whole`, it is a misread line.
 */
export async function lostKeys(
  sql: Sql,
  earlier: Iterable<KeyLine>,
  { whole }: { whole: boolean },
): Promise<string[]> {
  const page = new Map<string, Uint8Array>();
  for (const line of earlier) {
    if ("setting" in line) {
      if (await hasSetting(sql, line)) continue;
      return [line.setting];
    }
    page.set(line.subject, Buffer.from(line.key, "base64"));
    if (page.size < PAGE) continue;
    const lost = await lostIn(sql, page, whole);
    if (lost.length > 0) return lost;
    page.clear();
  }
  return await lostIn(sql, page, whole);
}

async function hasSetting(sql: Sql, line: { setting: string; value: string }): Promise<boolean> {
  const [row] = await sql<{ value: string }[]>`
    select value from settings where name = ${line.setting}`;
  return row?.value === line.value;
}

async function lostIn(sql: Sql, earlier: Keys, whole: boolean): Promise<string[]> {
  const now = await findKeys(sql, [...earlier.keys()]);
  const other = [...earlier].filter(([subject, key]) => !isSame(key, now.get(subject)))
    .map(([subject]) => subject);
  // Read after the keys, so that the events show a subject erased in between.
  const streams = Map.groupBy(await personalEvents(sql, other), ({ stream }) => stream);
  return other.filter((subject) => {
    const events = streams.get(subject);
    if (!events) return whole;
    if (events.some(({ type }) => ERASED.some((one) => one === type))) return false;
    return events.some((event) => opens(event, earlier) && !opens(event, now));
  });
}

function isSame(key: Uint8Array, now: Uint8Array | undefined): boolean {
  return now !== undefined && Buffer.from(key).equals(now);
}

function opens(event: StoredEvent, keys: Keys): boolean {
  return keys.has(event.stream) && JSON.stringify(event.data).includes('"$enc"') &&
    !isUndecryptable(event, keys);
}

async function personalEvents(sql: Sql, streams: string[]): Promise<StoredEvent[]> {
  if (streams.length === 0) return [];
  return await sql<StoredEvent[]>`
    select position, stream, version, type, data, meta, at, seal
    from events where stream = any(${streams}::text[]) order by position`;
}
