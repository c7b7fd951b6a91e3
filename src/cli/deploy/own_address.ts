// A container on three networks has three addresses. The service listens on the one that belongs to
// the network it is spoken to on, which is found by a name that only that network knows.
import { lookup } from "node:dns/promises";
import { AppError } from "../../errors.ts";
import { delay } from "../../async/delay.ts";

export type OwnAddress = { address: string; network: string };

const TRIES = 100;
const AGAIN_MS = 50;

/** The name may stand for every replica: ours is the one that an interface here has. */
export async function ownAddress(name: string): Promise<OwnAddress> {
  for (let tries = 0; tries < TRIES; tries++) {
    const named = await lookup(name, { all: true, family: 4 }).catch(() => []);
    const own = Deno.networkInterfaces().find(({ address }) =>
      named.some((found) => found.address === address)
    );
    if (own?.cidr) return { address: own.address, network: own.cidr };
    await delay(AGAIN_MS);
  }
  throw new AppError("unavailable", `no address here has this name: ${name}`);
}
