// A set of addresses and networks. In containers the address of a proxy is not known beforehand,
// but the network that it shares with the service is.
import { BlockList, isIP } from "node:net";

const MAX_KNOWN = 10_000;

export class Addresses {
  readonly #list = new BlockList();
  /** Remembers results: the list is slow, and every request checks it. */
  readonly #known = new Map<string, boolean>();

  /** Each `10.1.2.3`, `10.1.0.0/16`, `::1` or `fd00::/8`; a RangeError names an entry that is neither. */
  constructor(entries: readonly string[] = []) {
    for (const entry of entries) this.#add(entry);
  }

  #add(entry: string): void {
    const [address = "", length, rest] = entry.split("/");
    const version = isIP(address);
    const most = version === 4 ? 32 : 128;
    const bits = length === undefined ? most : /^\d+$/.test(length) ? Number(length) : NaN;
    if (version === 0 || rest !== undefined || !(bits >= 0 && bits <= most)) {
      throw new RangeError(`neither an address nor a network: ${entry}`);
    }
    this.#list.addSubnet(address, bits, version === 4 ? "ipv4" : "ipv6");
  }

  has(address: string): boolean {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    const version = isIP(address);
    const isIn = version !== 0 && this.#list.check(address, version === 4 ? "ipv4" : "ipv6");
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(address, isIn);
    return isIn;
  }
}
