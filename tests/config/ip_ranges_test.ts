import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Addresses } from "$src/config/ip_ranges.ts";
import { parseConfig } from "$src/config/config.ts";

describe("Addresses", () => {
  const known = new Addresses(["127.0.0.1", "172.20.0.3/16", "fd00::/8"]);

  for (
    const [address, expected] of [
      ["127.0.0.1", true],
      ["127.0.0.2", false],
      ["172.20.255.1", true],
      ["172.21.0.1", false],
      ["fd12::1", true],
      ["::1", false],
      ["::ffff:172.20.0.9", true],
      ["unknown", false],
      ["", false],
    ] as const
  ) {
    it(`${expected ? "has" : "does not have"} ${JSON.stringify(address)}`, () => {
      assertEquals(known.has(address), expected);
    });
  }

  for (const entry of ["nginx", "10.0.0.0/33", "10.0.0.0/8/8", "10.0.0.0/", "::/129"]) {
    it(`refuses ${entry} by name, also as TRUSTED_PROXIES`, () => {
      assertThrows(() => new Addresses([entry]), RangeError, entry);
      assertThrows(() => parseConfig([{ TRUSTED_PROXIES: `127.0.0.1,${entry}` }]), Error, entry);
    });
  }
});
