// Requests that no HTTP client would send: bytes over a socket.

/** Sends the bytes and reads until the other side closes or falls silent. */
export async function raw(url: string, bytes: string | Uint8Array, quietMs = 400): Promise<string> {
  const { hostname, port } = new URL(url);
  using conn = await Deno.connect({ hostname, port: Number(port) });
  const data = typeof bytes === "string" ? latin1(bytes) : bytes;
  try {
    for (let sent = 0; sent < data.length;) sent += await conn.write(data.subarray(sent));
    return await readAll(conn, quietMs);
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return "";
    if (error instanceof Deno.errors.BrokenPipe) return "";
    throw error;
  }
}

async function readAll(conn: Deno.Conn, quietMs: number): Promise<string> {
  const buffer = new Uint8Array(16_384);
  let text = "";
  while (true) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const quiet = new Promise<null>((done) => timer = setTimeout(() => done(null), quietMs));
    const reading = conn.read(buffer);
    const size = await Promise.race([reading, text === "" ? reading : quiet]);
    clearTimeout(timer);
    if (size === null) {
      reading.catch(() => undefined);
      return text;
    }
    text += new TextDecoder("latin1").decode(buffer.subarray(0, size));
  }
}

export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0) & 0xff);
}

/** The statuses of all responses in a connection's output. */
export function statusesIn(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.[01] (\d{3})/g)].map(([, status]) => Number(status));
}
