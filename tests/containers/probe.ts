// Tries to reach other hosts, and reports which it reached. Runs on the host, and, fed to Deno's standard
// input, in the network of any container. A connection alone proves nothing, as a gateway may accept what
// is meant for others: the peer must answer as the expected server would.

export type Target = { name: string; addresses: string[]; port: number; hello: Hello };
export type Found = { name: string; resolved: boolean; reached: boolean };

/** any: any answer counts as reached, a refused connection too. */
export type Hello = "http" | "redis" | "postgres" | "any";

const HELLO: Record<Hello, { say: string; hear: RegExp }> = {
  http: { say: "GET /health/live HTTP/1.0\r\n\r\n", hear: /"status":"alive"/ },
  redis: { say: "PING\r\n", hear: /^-NOAUTH/ },
  // The packet that asks for TLS.
  postgres: { say: "\x00\x00\x00\x08\x04\xd2\x16\x2f", hear: /^[NS]$/ },
  any: { say: "", hear: /^/ },
};
const WITHIN_MS = 2000;

async function answers(hostname: string, { port, hello }: Target): Promise<boolean> {
  const { say, hear } = HELLO[hello];
  try {
    using connection = await Deno.connect({ hostname, port });
    if (hello === "any") return true;
    await connection.write(Uint8Array.from(say, (letter) => letter.charCodeAt(0)));
    const answer = new Uint8Array(4096);
    for (let text = "";;) {
      const size = await connection.read(answer);
      if (size === null) return false;
      text += new TextDecoder().decode(answer.subarray(0, size));
      if (hear.test(text)) return true;
    }
  } catch (error) {
    return hello === "any" && error instanceof Deno.errors.ConnectionRefused;
  }
}

async function inTime(work: Promise<boolean>): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((done) => timer = setTimeout(() => done(false), WITHIN_MS));
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export async function probe(targets: Target[]): Promise<Found[]> {
  return await Promise.all(targets.map(async (target) => {
    const found = Deno.resolveDns(target.name, "A").then((all) => all.length > 0, () => false);
    const tries = target.addresses.map((address) => inTime(answers(address, target)));
    const reached = (await Promise.all(tries)).some((way) => way);
    return { name: target.name, resolved: await inTime(found), reached };
  }));
}

if (import.meta.main) {
  const found = await probe(JSON.parse(Deno.args[0] ?? "[]"));
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(found)));
  Deno.exit(0);
}
