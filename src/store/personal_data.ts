// Personal fields are stored encrypted with the key of their stream; erasing deletes that key.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { type EventType, personal } from "$events/mod.ts";
import type { Sql, Tx } from "../connections/postgres.ts";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

export type Keys = ReadonlyMap<string, Uint8Array>;
type Data = Record<string, unknown>;

export function newKey(): Uint8Array {
  return randomBytes(KEY_BYTES);
}

export function isKey(key: Uint8Array): boolean {
  return key.length === KEY_BYTES;
}

export function hasPersonal(type: EventType, data: object): boolean {
  return personalIn(type, data).length > 0;
}

function personalIn(type: EventType, data: object): string[] {
  const given = data as Data;
  return (personal[type] ?? []).filter((field) => given[field] !== undefined);
}

/** The data as stored. The stream and the field are bound to the text: it decrypts nowhere else. */
export function encrypt(type: EventType, data: object, stream: string, key: Uint8Array): Data {
  const stored: Data = { ...data };
  for (const field of personalIn(type, data)) {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, key, iv).setAAD(bound(stream, field));
    const text = cipher.update(JSON.stringify(stored[field]), "utf8");
    const sealed = Buffer.concat([iv, text, cipher.final(), cipher.getAuthTag()]);
    stored[field] = { $enc: sealed.toString("base64") };
  }
  return stored;
}

export type Opened = { data: unknown; erased: boolean; unreadable: boolean };

/**
 * The data in clear; whether a field is blank at all, and whether one is blank because its key does
 * not fit.
 */
export function decrypt(
  type: EventType,
  stored: unknown,
  owner: { stream: string; key: Uint8Array | undefined },
): Opened {
  const clear = { data: stored, erased: false, unreadable: false };
  if (typeof stored !== "object" || stored === null) return clear;
  const fields = personalIn(type, stored);
  if (fields.length === 0) return clear;
  const data: Data = { ...stored };
  let unreadable = false;
  for (const field of fields) {
    const sealed = sealedText(data[field]);
    if (sealed === undefined) continue;
    const text = owner.key && open(sealed, owner.key, bound(owner.stream, field));
    unreadable ||= owner.key !== undefined && text === undefined;
    data[field] = text ?? "";
  }
  return { data, erased: owner.key === undefined || unreadable, unreadable };
}

function sealedText(value: unknown): Buffer | undefined {
  if (typeof value !== "object" || value === null || !("$enc" in value)) return undefined;
  return Buffer.from(String(value.$enc), "base64");
}

/** Undefined where key and text do not belong together: a damaged key loses only its own text. */
function open(sealed: Buffer, key: Uint8Array, aad: Buffer): unknown {
  if (key.length !== KEY_BYTES || sealed.length < IV_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, IV_BYTES)).setAAD(aad);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const text = decipher.update(sealed.subarray(IV_BYTES, sealed.length - TAG_BYTES));
  try {
    // Adds nothing to the text in this mode, and throws where the tag does not fit.
    decipher.final();
    return JSON.parse(text.toString("utf8"));
  } catch {
    // Neither OpenSSL's message nor a part of the text belongs in an error.
    return undefined;
  }
}

function bound(stream: string, field: string): Buffer {
  return Buffer.from(`${stream}/${field}`);
}

export async function findKeys(sql: Sql | Tx, streams: string[]): Promise<Map<string, Uint8Array>> {
  if (streams.length === 0) return new Map();
  const rows = await sql<{ subject: string; key: Uint8Array }[]>`
    select subject, key from keys where subject = any(${[...new Set(streams)]}::text[])`;
  return new Map(rows.map((row) => [row.subject, row.key]));
}

export async function insertKeys(tx: Tx, keys: Keys): Promise<void> {
  if (keys.size === 0) return;
  await tx`
    insert into keys (subject, key)
    select subject, decode(hex, 'hex')
    from unnest(${[...keys.keys()]}::text[], ${
    [...keys.values()].map(hex)
  }::text[]) k(subject, hex)`;
}

/** Erases subjects, inside the append that records the erasure. */
export async function deleteKeys(tx: Tx, streams: string[]): Promise<void> {
  if (streams.length === 0) return;
  await tx`delete from keys where subject = any(${streams}::text[])`;
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString("hex");
}
