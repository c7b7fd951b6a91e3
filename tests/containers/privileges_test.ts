// The privileges of each container, according to the engine and to the processes inside.
import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Container, inspect, must, run, System } from "./system.ts";

const RUNNING = ["nginx", "app", "postgres", "redis"];
const ENDED = ["secrets", "migrate"];
const ALL = [...RUNNING, ...ENDED];

const SETTINGS = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}} " +
  "{{.HostConfig.SecurityOpt}} {{.HostConfig.Privileged}}";

describe("least privilege", () => {
  let system: System;
  const of = new Map<string, Container>();

  before(async () => {
    system = await System.up();
    for (const container of await system.containers()) of.set(container.service, container);
  });
  after(() => system[Symbol.asyncDispose]());

  const idOf = (service: string) => of.get(service)?.id ?? "";
  const inside = async (service: string, script: string) =>
    await must(["docker", "exec", idOf(service), "sh", "-c", script]);

  for (const service of ALL) {
    it(`starts ${service} with no unneeded capability`, async () => {
      assertEquals(
        await inspect(idOf(service), SETTINGS),
        "true [ALL] [] [no-new-privileges:true] false",
      );
    });

    it(`limits the size of ${service}'s log`, async () => {
      const settings = await inspect(idOf(service), "{{json .HostConfig.LogConfig}}");
      assertEquals(JSON.parse(settings), {
        Type: "json-file",
        Config: { "max-size": "10m", "max-file": "3" },
      });
    });
  }

  for (const service of RUNNING) {
    it(`runs every process of ${service} as an unprivileged user`, async () => {
      const script = `for at in /proc/[0-9]*; do
        grep -E '^(Uid|CapBnd|CapEff|NoNewPrivs):' "$at/status" 2>/dev/null | tr -s '\\t\\n' '  '; echo
      done | sort -u`;
      const lines = (await inside(service, script)).split("\n").filter((line) =>
        line.trim() !== ""
      );
      assertNotEquals(lines.length, 0);
      for (const line of lines) {
        assertMatch(line, /^Uid: [1-9]\d* .*CapEff: 0+ CapBnd: 0+ NoNewPrivs: 1/);
      }
      assertNotEquals(await inside(service, "id -u"), "0");
    });

    it(`lets ${service} write nowhere in its root file system`, async () => {
      for (const path of ["/x", "/etc/x", "/usr/x", "/root/x"]) {
        const { code } = await run(["docker", "exec", "-u", "0", idOf(service), "touch", path]);
        assertNotEquals(code, 0, path);
      }
    });

    it(`restarts ${service} if it ends`, async () => {
      assertEquals(
        await inspect(idOf(service), "{{.HostConfig.RestartPolicy.Name}}"),
        "unless-stopped",
      );
    });
  }

  for (const service of ENDED) {
    it(`runs ${service} as an unprivileged user, once`, async () => {
      const format = "{{.Config.User}} {{.State.ExitCode}} {{.HostConfig.RestartPolicy.Name}}";
      assertEquals(await inspect(idOf(service), format), "deno 0 no");
    });
  }

  it("gives each container only the secrets that it shares with another", async () => {
    const folders = async (service: string) => {
      const format = "{{range .Mounts}}{{.Destination}} {{end}}";
      const mounts = (await inspect(idOf(service), format)).split(" ");
      return mounts.filter((path) => path.startsWith("/secrets/")).sort().join(" ");
    };
    assertEquals(await folders("nginx"), "/secrets/edge");
    assertEquals(await folders("redis"), "/secrets/cache");
    assertEquals(await folders("postgres"), "/secrets/owner");
    assertEquals(await folders("migrate"), "/secrets/data /secrets/owner");
    assertEquals(await folders("app"), "/secrets/app /secrets/cache /secrets/data /secrets/edge");
  });

  it("keeps secrets out of compose files, environments and the image", async () => {
    const secret = await inside("app", "cat /secrets/cache/password");
    for (const service of ALL) {
      const all = await must(["docker", "inspect", idOf(service)]);
      assertEquals(all.includes(secret), false, service);
    }
    const processes = await inside("redis", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assertEquals(processes.includes(secret), false);
  });

  it("protects Redis with a password", async () => {
    assertMatch(await inside("redis", "redis-cli dbsize 2>&1"), /NOAUTH/);
    const policy =
      "REDISCLI_AUTH=$(cat /secrets/cache/password) redis-cli config get maxmemory-policy";
    assertMatch(await inside("redis", policy), /noeviction/);
  });

  it("runs Deno with named permissions", async () => {
    const script =
      "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done | grep src/main.ts | grep deno";
    const argv = (await inside("app", script)).split("\n").find((line) =>
      line.startsWith("deno run")
    );
    const net = argv?.match(/--allow-net=(\S+)/)?.[1]?.split(",") ?? [];
    assertMatch(net[0] ?? "", /^[\d.]+:8000$/);
    assertEquals(net.slice(1), ["postgres:5432", "redis:6379", "nginx:8000"]);
    for (const flag of [" -A", "--allow-all", "--allow-run", "--allow-write", "--allow-ffi"]) {
      assertEquals(argv?.includes(flag), false, flag);
    }
    assertMatch(argv ?? "", /--allow-read=\/app,/);
  });

  describe("the role of the service", () => {
    const ask = async (statement: string) => {
      const psql = ["psql", "-h", "127.0.0.1", "-U", "tallybook", "-d", "tallybook", "-tAX", "-c"];
      const password = await inside("app", "cat /secrets/data/password");
      const argv = ["docker", "exec", "-e", `PGPASSWORD=${password}`, idOf("postgres"), ...psql];
      const { text, errors } = await run([...argv, statement]);
      return text + errors;
    };

    for (
      const [what, statement] of [
        ["change an event", "update events set data = '{}'"],
        ["remove an event", "delete from events"],
        ["empty the log", "truncate events"],
        ["take the trigger away", "drop trigger append_only on events"],
        ["disable the trigger", "alter table events disable trigger append_only"],
        ["make a table beside the log", "create table public.x (y int)"],
        ["make a schema", "create schema x"],
        ["make a temporary table", "create temporary table x (y int)"],
        ["make a role", "create role x"],
        ["make a database", "create database x"],
        ["read files of the server", "select pg_read_file('/etc/passwd')"],
        ["become the owner", "set role owner"],
      ] as const
    ) {
      it(`may not ${what}`, async () => {
        assertMatch(await ask(statement), /permission denied|must be owner/);
      });
    }

    it("owns the schema of the read models, and no other", async () => {
      const schemas =
        "select nspname from pg_namespace where pg_get_userbyid(nspowner) = 'tallybook'";
      assertEquals(await ask(schemas), "read");
      const strange =
        "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace " +
        "where pg_get_userbyid(relowner) = 'tallybook' and nspname not in ('read', 'pg_toast')";
      assertEquals(await ask(strange), "0");
      assertMatch(
        await ask("create table read.probe (x int); drop table read.probe"),
        /DROP TABLE/,
      );
    });

    it("appends to the log, and is no superuser", async () => {
      const rights = "select has_table_privilege('events', 'insert'), rolsuper, rolcreatedb, " +
        "rolcreaterole, rolreplication, rolbypassrls from pg_roles where rolname = 'tallybook'";
      assertEquals(await ask(rights), "t|f|f|f|f|f");
    });
  });
});
