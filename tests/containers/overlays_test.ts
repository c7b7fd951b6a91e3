// compose.prod.yaml as on a public site, and compose.dev.yaml as on a developer's machine.
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { freePort } from "$src/cli/stack/mod.ts";
import { newSigningKey } from "$src/store/signed_head.ts";
import { waitFor } from "../support/until.ts";
import { inspect, must, ROOT, run, System, total } from "./system.ts";

const SECRETS = [
  "owner_password",
  "service_password",
  "redis_password",
  "nginx_secret",
  "cookie_secret",
  "admin_token",
];

describe("the production overlay", () => {
  let system: System;
  let folder: string;
  const tlsPort = freePort();
  const token = crypto.randomUUID();

  before(async () => {
    folder = await Deno.makeTempDir({ prefix: "tallybook-prod-" });
    await Deno.mkdir(`${folder}/secrets`);
    await Deno.mkdir(`${folder}/tls`);
    for (const name of SECRETS) {
      const value = name === "admin_token" ? token : crypto.randomUUID() + "/+@:%";
      await Deno.writeTextFile(`${folder}/secrets/${name}`, value, { mode: 0o444 });
    }
    await Deno.writeTextFile(`${folder}/secrets/signing_key`, newSigningKey(), { mode: 0o444 });
    await certificate("first.test");
    system = await System.prepare({
      files: ["compose.yaml", "compose.prod.yaml"],
      env: {
        SECRETS_DIR: `${folder}/secrets`,
        TLS_DIR: `${folder}/tls`,
        PUBLIC_TLS_PORT: String(tlsPort),
        PUBLIC_URL: `https://localhost:${tlsPort}`,
        BACKUP_KEEP: "2",
      },
    });
    await system.build();
    await system.compose("up", "-d");
    await waitFor(async () => (await curl("/health")).status === 200, 60_000, "the site");
  });
  after(async () => {
    await system[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  });

  async function certificate(name: string): Promise<void> {
    const files = ["-keyout", `${folder}/tls/key.pem`, "-out", `${folder}/tls/cert.pem`];
    const what = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${name}`];
    const names = ["-addext", "subjectAltName=DNS:localhost"];
    await must(["openssl", "req", "-x509", ...what, ...names, ...files]);
    await must(["chmod", "0444", `${folder}/tls/key.pem`]);
  }

  type Answer = { status: number; version: string; text: string };
  async function curl(path: string, ...flags: string[]): Promise<Answer> {
    const asked = ["curl", "-s", "--cacert", `${folder}/tls/cert.pem`, "-D", "-", ...flags];
    const url = path.startsWith("http") ? path : `https://localhost:${tlsPort}${path}`;
    const { text } = await run([...asked, "-w", "\n%{http_version} %{http_code}", url]);
    const [version = "", status = ""] = text.split("\n").at(-1)?.split(" ") ?? [];
    return { status: Number(status), version, text };
  }

  it("speaks HTTP/2 over TLS, and sends HSTS", async () => {
    const { status, version, text } = await curl("/", "--http2");
    assertEquals([status, version], [200, "2"]);
    assertMatch(text, /strict-transport-security: max-age=31536000/i);
  });

  it("refuses unsafe versions of TLS", async () => {
    const { status } = await curl("/", "--tls-max", "1.1");
    assertEquals(status, 0);
  });

  it("redirects plain HTTP to HTTPS with 308, which keeps the method", async () => {
    for (const host of [[], ["-H", "host: evil.example"]]) {
      const { status, text } = await curl(`${system.url}/entries?limit=3`, ...host);
      assertEquals(status, 308);
      assertMatch(
        text,
        new RegExp(`location: https://localhost:${tlsPort}/entries\\?limit=3`, "i"),
      );
    }
  });

  it("reloads a renewed certificate by itself", async () => {
    await certificate("second.test");
    const shown = async () => {
      const ask = `openssl s_client -connect localhost:${tlsPort} </dev/null 2>/dev/null`;
      return await must(["sh", "-c", `${ask} | openssl x509 -noout -subject`]);
    };
    await waitFor(async () => (await shown()).includes("second.test"), 10_000, "the certificate");
  });

  it("requires the configured admin token", async () => {
    const user = ["-H", "content-type: application/json", "-d", '{"name":"A","email":"a@b.cd"}'];
    assertEquals((await curl("/users", ...user)).status, 401);
    const admin = ["-H", `authorization: Bearer ${token}`];
    assertEquals((await curl("/users", ...user, ...admin)).status, 201);
  });

  it("accepts a form of its own site over TLS", async () => {
    const form = ["-H", `origin: https://localhost:${tlsPort}`, "-d", "name=A&message=B"];
    assertEquals((await curl("/sign", ...form)).status, 303);
  });

  it("runs three replicas", async () => {
    const replicas = await system.containers("app");
    assertEquals(replicas.map(({ state }) => state), ["running", "running", "running"]);
  });

  it("limits the resources of each container, and reserves some for it", async () => {
    const format = "{{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}} " +
      "{{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}}";
    for (const { id, service } of await system.containers()) {
      const [memory, kept, cpus, share] = (await inspect(id, format)).split(" ").map(Number);
      assertGreater(memory, 0, service);
      if (service === "migrate" || service === "secrets") continue;
      assertGreater(cpus, 0, service);
      assertGreater(share, 0, service);
      if (service !== "backup") assertGreater(kept, 0, service);
    }
  });

  it("uses the given secrets, and puts none into an environment", async () => {
    const given = await Deno.readTextFile(`${folder}/secrets/redis_password`);
    const { text } = await system.exec("redis", "cat", "/secrets/cache/password");
    assertEquals(text, given);
    const about = await must([
      "docker",
      "inspect",
      ...(await system.containers()).map(({ id }) => id),
    ]);
    assertEquals(about.includes(given) || about.includes(token), false);
  });

  it("makes backups by schedule, and keeps the newest", async () => {
    const logs = async () => {
      const { text } = await system.exec("backup", "ls", "backups");
      return text.split("\n").filter((name) => /^log-\d+\.ndjson$/.test(name));
    };
    await waitFor(async () => (await logs()).length === 1, 20_000, "the first backup");
    const { id } = await system.container("backup");
    for (const newest of [2, 2]) {
      const [last = ""] = (await logs()).slice(-1);
      await curl("/sign", "-d", "name=A&message=B");
      await must(["docker", "restart", "-t", "5", id]);
      await waitFor(async () => (await logs()).at(-1) !== last, 20_000, "another backup");
      await waitFor(async () => (await logs()).length === newest, 5000, "the oldest to be gone");
    }
    const { text } = await system.exec("backup", "ls", "backups");
    assert(text.split("\n").includes("keys.ndjson"));
  });
});

describe("the developer's overlay", () => {
  let system: System;
  let copy: string;
  const debugPort = freePort();
  const COPIED =
    "Dockerfile .dockerignore CONTRIBUTING.md docs compose.yaml compose.dev.yaml nginx.conf deno.json " +
    "deno.lock src events projections migrations tests";

  before(async () => {
    copy = await Deno.makeTempDir({ prefix: "tallybook-dev-" });
    await Deno.chmod(copy, 0o755);
    await must(["cp", "-r", ...COPIED.split(" "), copy], { cwd: ROOT });
    system = await System.up({
      files: ["compose.yaml", "compose.dev.yaml"],
      cwd: copy,
      env: { DEBUG_PORT: String(debugPort) },
    });
  });
  after(async () => {
    await system[Symbol.asyncDispose]();
    await Deno.remove(copy, { recursive: true });
  });

  it("adds sample data", async () => {
    assertGreater(await total(system.url), 0);
  });

  it("opens a debugger port on the loopback", async () => {
    const answer = await fetch(`http://127.0.0.1:${debugPort}/json/list`);
    const [target] = await answer.json();
    assertMatch(target.webSocketDebuggerUrl, /^ws:/);
  });

  it("runs changed source without a new image", async () => {
    const path = `${copy}/src/routes/health.ts`;
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(
      path,
      text.replace('status: "alive" }', 'status: "alive", reloaded: 1 }'),
    );
    await waitFor(
      async () => {
        const answer = await fetch(`${system.url}/health/live?${Math.random()}`);
        return (await answer.text()).includes("reloaded");
      },
      20_000,
      "the changed answer",
    );
  });
});
