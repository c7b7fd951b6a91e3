// Writes the rows of an import: by COPY, or as arrays where the server is embedded (COPY over the
// embedded server's socket never answers).
import { once } from "node:events";
import type { Writable } from "node:stream";
import type { Tx } from "../connections/postgres.ts";
import type { StoredEvent } from "./read.ts";

/** An event whose seal has been checked, with its texts as sealed, which are then written unchanged. */
export type CheckedEvent = StoredEvent & { texts: { data: string; meta: string } };

export type RowWriter = AsyncDisposable & {
  write(row: CheckedEvent): Promise<void>;
  finish(): Promise<void>;
};

const CHUNK_BYTES = 256 * 1024;
const ARRAY_ROWS = 500;

export function rowWriter(tx: Tx, embedded: boolean): RowWriter {
  return embedded ? new ArrayWriter(tx) : new CopyWriter(tx);
}

class CopyWriter implements RowWriter {
  readonly #tx: Tx;
  #stream: Writable | undefined;
  #chunk = "";
  #failure: unknown;

  constructor(tx: Tx) {
    this.#tx = tx;
  }

  async write(row: CheckedEvent): Promise<void> {
    this.#chunk += copyLine(row);
    if (this.#chunk.length >= CHUNK_BYTES) await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#flush();
    const stream = this.#stream;
    this.#stream = undefined;
    if (!stream) return;
    stream.end();
    await this.#until(stream, "finish");
    if (this.#failure) throw this.#failure;
  }

  async #flush(): Promise<void> {
    if (this.#chunk === "") return;
    this.#stream ??= await this.#open();
    if (this.#failure) throw this.#failure;
    const ready = this.#stream.write(this.#chunk);
    this.#chunk = "";
    if (!ready) await this.#until(this.#stream, "drain");
  }

  async #open(): Promise<Writable> {
    const stream = await this.#tx`
      copy events (position, stream, version, type, data, meta, at, seal) from stdin`.writable();
    stream.on("error", (error: unknown) => {
      this.#failure ??= refusedOrGone(error);
    });
    return stream;
  }

  async #until(stream: Writable, event: "drain" | "finish"): Promise<void> {
    try {
      await once(stream, event);
    } catch (error) {
      throw this.#failure ?? refusedOrGone(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stream = this.#stream;
    if (!stream) return;
    stream.destroy(new Error("import refused"));
    await Promise.resolve();
  }
}

/** An error that the server did not report means that the connection ended, whatever the stream says. */
function refusedOrGone(error: unknown): unknown {
  if (error instanceof Error && "severity" in error) return error;
  const closed = new Error("the connection was closed in the middle of a copy", { cause: error });
  return Object.assign(closed, { code: "CONNECTION_CLOSED" });
}

function copyLine(row: CheckedEvent): string {
  const { stream, type, texts } = row;
  const named = `${copyText(stream)}\t${row.version}\t${copyText(type)}`;
  const told = `${copyText(texts.data)}\t${copyText(texts.meta)}`;
  return `${row.position}\t${named}\t${told}\t${row.at.toISOString()}\t${row.seal}\n`;
}

function copyText(text: string): string {
  return /[\\\t\n\r]/.test(text)
    ? text.replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n").replaceAll(
      "\r",
      "\\r",
    )
    : text;
}

class ArrayWriter implements RowWriter {
  readonly #tx: Tx;
  #rows: CheckedEvent[] = [];

  constructor(tx: Tx) {
    this.#tx = tx;
  }

  async write(row: CheckedEvent): Promise<void> {
    this.#rows.push(row);
    if (this.#rows.length >= ARRAY_ROWS) await this.finish();
  }

  async finish(): Promise<void> {
    const rows = this.#rows;
    this.#rows = [];
    if (rows.length > 0) await insertStored(this.#tx, rows);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function insertStored(tx: Tx, rows: CheckedEvent[]): Promise<void> {
  const list = JSON.stringify(
    rows.map(({ texts: _, ...row }) => ({ ...row, at: row.at.toISOString() })),
  );
  await tx`
    insert into events (position, stream, version, type, data, meta, at, seal)
    select position, stream, version, type, data, meta, at, seal
    from jsonb_to_recordset(${list}::text::jsonb)
      e(position bigint, stream text, version bigint, type text, data jsonb, meta jsonb,
        at timestamptz, seal text)`;
}
