import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { permissionsFor } from "$src/cli/deploy/permissions.ts";
import { parseConfig } from "$src/config/config.ts";

const own = { address: "10.1.0.4", network: "10.1.0.4/16" };

function flags(name: string, env: Record<string, string>, at?: typeof own): Map<string, string> {
  const found = permissionsFor(name, { config: parseConfig([env]), env, own: at });
  return new Map(found.map((flag) => [flag.split("=")[0] ?? "", flag.replace(/^[^=]*=?/, "")]));
}

const FULL = {
  DATABASE_URL: "postgres://a:b@postgres/x",
  OWNER_DATABASE_URL: "postgres://o:b@owner:5433/x",
  REDIS_URL: "redis://:c@redis",
  NGINX_URL: "http://nginx:8000, https://second",
  WEBHOOK_URL: "https://hooks.example/a",
  SIGNING_KEY: "given",
  ACCESS_LOG: "/var/log/tallybook/access.log",
};

describe("the permissions of a program in a container", () => {
  it("names the servers that the service is configured to reach, and its own address", () => {
    assertEquals(
      flags("src/main.ts", FULL, own).get("--allow-net"),
      "10.1.0.4:8000,postgres:5432,redis:6379,hooks.example:443,nginx:8000,second:443",
    );
    assertEquals(
      flags("src/main.ts", { DATABASE_URL: FULL.DATABASE_URL, PORT: "81" }).get("--allow-net"),
      "0.0.0.0:81,postgres:5432",
    );
  });

  it("passes the service its own address and the network of its proxy", () => {
    const found = flags("src/main.ts", FULL, own);
    assertEquals([found.get("--host"), found.get("--trusted-proxies")], [own.address, own.network]);
    assertEquals(flags("src/main.ts", FULL).has("--host"), false);
  });

  it("lets the service write nothing unless it keeps data itself", () => {
    assertEquals(flags("src/main.ts", FULL).has("--allow-write"), false);
    const { SIGNING_KEY: _, ...keeping } = FULL;
    assertMatch(flags("src/main.ts", keeping).get("--allow-write") ?? "", /\/data$/);
  });

  it("lets a migration reach the database as its owner, and no other server", () => {
    const found = flags("src/cli/migrate.ts", FULL);
    assertEquals(found.get("--allow-net"), "owner:5433");
    assertEquals(found.has("--allow-write"), false);
  });

  it("lets a backup write backups", () => {
    assertMatch(flags("src/cli/backup.ts", FULL).get("--allow-write") ?? "", /\/backups$/);
  });

  it("lets each program read its source, the secrets that are files, and the access log's folder", async () => {
    const file = await Deno.makeTempFile();
    await Deno.writeTextFile(file, "a cookie's secret, long enough");
    const read = flags("src/main.ts", { ...FULL, COOKIE_SECRET_FILE: file }).get("--allow-read");
    assertEquals(read?.split(",").slice(1), [file, "/var/log/tallybook"]);
    await Deno.remove(file);
  });

  it("refuses a program that no container runs", () => {
    assertThrows(() => permissionsFor("src/cli/stack.ts", { config: parseConfig([]), env: {} }));
  });
});
