// Picks ports below the ephemeral range. Inside that range any outgoing connection could take a port that
// was free a moment ago, or that belongs to a server which is restarting.
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
