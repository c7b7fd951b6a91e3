// Ports below the range that outgoing connections draw from: there, a port that was free a moment ago
// (or belongs to a server that is just being restarted) can be taken by any client's connection.
const FIRST = 15_000;
const LAST = 32_000;

export function freePort(): number {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (isFree(port)) return port;
  }
}

function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}
