// New voters who arrive all at once through Nginx. Each connection pipelines many votes in one write, so
// that the client's cost does not dominate the measurement.
import type { Stack } from "$src/cli/stack/mod.ts";
import { AppError } from "$src/errors.ts";

const CONNECTIONS = 500;

export type Herd = { seconds: number; taken: number };

export async function herd({ url }: Stack, voters: number): Promise<Herd> {
  const { hostname, port } = new URL(url);
  const each = Math.ceil(voters / CONNECTIONS);
  const open = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => Deno.connect({ hostname, port: Number(port) })),
  );
  const started = performance.now();
  const taken = await Promise.all(open.map((connection) => voteOn(connection, each)));
  const seconds = (performance.now() - started) / 1000;
  return { seconds, taken: taken.reduce((sum, some) => sum + some, 0) };
}

const BODY = '{"option":"option_a"}';
const REQUEST = [
  "POST /polls/1/votes HTTP/1.1",
  "Host: herd",
  "Accept: application/json",
  "Content-Type: application/json",
  `Content-Length: ${BODY.length}`,
  "",
  BODY,
].join("\r\n");

/** The number of votes that were answered with 201. */
async function voteOn(connection: Deno.Conn, votes: number): Promise<number> {
  using _ = connection;
  const sent = new TextEncoder().encode(REQUEST.repeat(votes));
  for (let at = 0; at < sent.length;) at += await connection.write(sent.subarray(at));
  const decoder = new TextDecoder();
  const chunk = new Uint8Array(16_384);
  let [rest, answered, taken] = ["", 0, 0];
  while (answered < votes) {
    const length = await connection.read(chunk);
    if (length === null) throw new AppError("unavailable", `closed after ${answered} answers`);
    rest += decoder.decode(chunk.subarray(0, length), { stream: true });
    const lines = rest.split("HTTP/1.1 ");
    // The status of the last answer may not have arrived yet.
    rest = lines.pop() ?? "";
    if (/^\d{3}/.test(rest)) {
      lines.push(rest.slice(0, 3));
      rest = "";
    }
    for (const line of lines.filter((each) => /^\d{3}/.test(each))) {
      answered++;
      if (line.startsWith("201")) taken++;
    }
  }
  return taken;
}
