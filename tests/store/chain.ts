// An exported log made without a database: lines whose positions, times and seals fit.
import { canonical, GENESIS, sealOf } from "$src/store/hash_chain.ts";

export type Line = {
  position: number;
  stream: string;
  version: number;
  type: string;
  data: Record<string, unknown>;
  meta: { actor: string };
  at: string;
  seal: string;
};

const STARTED = Date.UTC(2026, 0, 1);

/** Events of alternating streams, sealed in a chain. */
export function* chain(length: number, streams = 1000): Generator<Line> {
  let seal = GENESIS;
  for (let position = 1; position <= length; position++) {
    const index = (position - 1) % streams;
    const line = {
      position,
      stream: `visits-/page/${index}`,
      version: Math.floor((position - 1) / streams) + 1,
      type: "VisitsCounted",
      data: { page: `/page/${index}`, count: 1 + position % 7 },
      meta: { actor: "system" },
      at: new Date(STARTED + position).toISOString(),
      seal: "",
    };
    seal = sealed(line, seal);
    yield { ...line, seal };
  }
}

/** Recomputes the seals of lines that a test has changed. */
export function sealAgain(lines: Line[]): Line[] {
  let seal = GENESIS;
  return lines.map((line) => ({ ...line, seal: seal = sealed(line, seal) }));
}

function sealed(line: Line, before: string): string {
  const place = { ...line, at: new Date(line.at) };
  return sealOf(before, place, canonical(line.data), canonical(line.meta));
}

export function textOf(lines: Iterable<Line>): string {
  return [...lines].map((line) => `${JSON.stringify(line)}\n`).join("");
}

export async function* linesOf(lines: Iterable<Line | string>): AsyncGenerator<string> {
  for (const line of lines) yield typeof line === "string" ? line : JSON.stringify(line);
  await Promise.resolve();
}

/** Writes a long chain to a file, in pieces. */
export async function writeChain(path: string, length: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  const writer = file.writable.getWriter();
  let text = "";
  for (const line of chain(length)) {
    text += `${JSON.stringify(line)}\n`;
    if (text.length < 1_000_000) continue;
    await writer.write(new TextEncoder().encode(text));
    text = "";
  }
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
}
