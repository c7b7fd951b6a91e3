// A container on three networks has three addresses. The service listens only on the address of one
// network, found by a DNS name that exists only there.
import { lookup } from "node:dns/promises";
import { AppError } from "../../errors.ts";
import { delay } from "../../async/delay.ts";

export type OwnAddress = { address: string; network: string };

const TRIES = 100;
const AGAIN_MS = 50;

/** The name may resolve to every replica; ours is the address that a local interface has. */
export async function ownAddress(name: string): Promise<OwnAddress> {
  for (let tries = 0; tries < TRIES; tries++) {
    const named = await lookup(name, { all: true, family: 4 }).catch(() => []);
    const own = Deno.networkInterfaces().find(({ address }) =>
      named.some((found) => found.address === address)
    );
    if (own?.cidr) return { address: own.address, network: own.cidr };
    await delay(AGAIN_MS);
  }
  throw new AppError("unavailable", `no local interface has an address of this name: ${name}`);
}
