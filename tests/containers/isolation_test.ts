// Which container reaches which. The table is the promise; every cell of it is tried, the forbidden ones
// too, from inside each container's own network and at every address that the target has.
import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Found, probe, type Target } from "./probe.ts";
import { inspect, must, run, System } from "./system.ts";

const REACHES: Record<string, string[]> = {
  nginx: ["app", "host", "outside"],
  app: ["nginx", "app", "postgres", "redis"],
  migrate: ["postgres"],
  postgres: [],
  redis: [],
};
const SERVICES = ["nginx", "app", "postgres", "redis"];
const TARGETS = [...SERVICES, "host", "outside"];
// Names known to a network although the service behind them does not listen on it.
const KNOWN_BUT_CLOSED = ["postgres app", "redis app", "migrate app"];

const ADDRESSES = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
const RANGE = "{{range .IPAM.Config}}{{.Subnet}}{{end}}";

/** A server outside this machine that answers over TCP: the resolver. */
async function beyond(): Promise<string> {
  const text = await Deno.readTextFile("/etc/resolv.conf");
  const given = text.match(/^nameserver\s+([\d.]+)/m)?.[1] ?? "127.";
  return given.startsWith("127.") ? "1.1.1.1" : given;
}

async function probeFrom(container: string, targets: Target[]): Promise<Found[]> {
  const inside = ["docker", "run", "--rm", "-i", "--network", `container:${container}`];
  const deno = ["denoland/deno:2.9.6", "run", "-A", "--quiet", "--no-check", "--ext=ts", "-"];
  const stdin = await Deno.readTextFile(new URL("probe.ts", import.meta.url));
  return JSON.parse(await must([...inside, ...deno, JSON.stringify(targets)], { stdin }));
}

describe("network isolation", () => {
  let system: System;
  let targets: Target[];
  const ids: Record<string, string> = {};
  const found = new Map<string, Found[]>();

  before(async () => {
    system = await System.up();
    for (const name of SERVICES) ids[name] = (await system.container(name)).id;
    // The migrate container ended long ago; a running copy shows what it could reach.
    ids.migrate = `${system.project}-migrate`;
    const stay = ["--name", ids.migrate, "migrate", "sleep", "600"];
    await system.compose("run", "-d", "--no-deps", ...stay);
    targets = [
      { name: "nginx", addresses: await addressesOf("nginx"), port: 8080, hello: "http" },
      { name: "app", addresses: await addressesOf("app"), port: 8000, hello: "http" },
      { name: "postgres", addresses: await addressesOf("postgres"), port: 5432, hello: "postgres" },
      { name: "redis", addresses: await addressesOf("redis"), port: 6379, hello: "redis" },
      { name: "host", addresses: await gateways(), port: 9, hello: "any" },
      { name: "outside", addresses: [await beyond()], port: 53, hello: "any" },
    ];
    await Promise.all(
      Object.keys(REACHES).map(async (from) => {
        found.set(from, await probeFrom(ids[from] ?? "", targets));
      }),
    );
    found.set("the host", await probe(targets));
  });
  after(async () => {
    await run(["docker", "rm", "-f", ids.migrate ?? ""]);
    await system[Symbol.asyncDispose]();
  });

  async function addressesOf(service: string): Promise<string[]> {
    return (await inspect(ids[service] ?? "", ADDRESSES)).split(/\s+/);
  }

  async function gateways(): Promise<string[]> {
    const networks = ["public", "edge", "cache", "data"].map((name) => `${system.project}_${name}`);
    const ranges = await Promise.all(networks.map((name) => inspect(name, RANGE)));
    return ranges.map((range) => range.replace(/\d+\/\d+$/, "1"));
  }

  const cell = (from: string, to: string) => found.get(from)?.find(({ name }) => name === to);

  for (const [from, allowed] of Object.entries(REACHES)) {
    for (const to of TARGETS.filter((to) => to !== from || to === "app")) {
      const may = allowed.includes(to);
      it(`${from} ${may ? "reaches" : "does not reach"} ${to}`, () => {
        assertEquals(cell(from, to)?.reached, may);
      });
    }
    const hidden = SERVICES.filter((to) =>
      to !== from && !allowed.includes(to) && !KNOWN_BUT_CLOSED.includes(`${from} ${to}`)
    );
    for (const to of hidden) {
      it(`${from} cannot resolve ${to}`, () => {
        assertEquals(cell(from, to)?.resolved, false);
      });
    }
  }

  for (const to of ["app", "postgres", "redis"]) {
    it(`the host has no direct route to ${to}`, () => {
      assertEquals(cell("the host", to)?.reached, false);
    });
  }

  it("the host gets one port, on its loopback, which is Nginx'", async () => {
    const open: string[] = [];
    for (const { id, service } of await system.containers()) {
      const ports = (await must(["docker", "port", id])).split("\n").filter((line) => line !== "");
      open.push(...ports.map((line) => `${service} ${line}`));
    }
    assertEquals(open, [`nginx 8080/tcp -> 127.0.0.1:${system.port}`]);
  });

  it("the secrets are made without any network", async () => {
    const { id } = await system.container("secrets");
    assertEquals(await inspect(id, "{{.HostConfig.NetworkMode}}"), "none");
  });
});
