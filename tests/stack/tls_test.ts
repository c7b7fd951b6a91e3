// The containers' additions to nginx.conf for a public site: TLS, and a plain side that only redirects there.
// The part of nginx.sh that writes it, and Nginx with the result.
import { assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { freePort, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { raw } from "../attacks/raw.ts";

const SCRIPT = new URL("../../src/cli/deploy/nginx.sh", import.meta.url).pathname;
const WRITE = `set -eu
eval "$(sed -n '/^write_[lt].*() {/,/^}/p' "$0")"
mkdir -p run
write_listen`;

type Written = { code: number; said: string; listen: string };

/** run/listen.conf as nginx.sh writes it in this environment. */
async function written(cwd: string, env: Record<string, string>): Promise<Written> {
  const command = new Deno.Command("sh", {
    args: ["-c", WRITE, SCRIPT],
    cwd,
    env: { PATH: Deno.env.get("PATH") ?? "", ...env },
    clearEnv: true,
  });
  const { code, stderr } = await command.output();
  const listen = await Deno.readTextFile(`${cwd}/run/listen.conf`).catch(() => "");
  await Deno.remove(`${cwd}/run`, { recursive: true });
  return { code, said: new TextDecoder().decode(stderr), listen };
}

describe("TLS in containers", () => {
  const plain = freePort();
  let dir: string;
  let stack: Stack;
  let tls: Record<string, string>;

  before(async () => {
    dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    await Deno.chmod(dir, 0o755);
    tls = { TLS_CERTIFICATE: `${dir}/cert.pem`, TLS_KEY: `${dir}/key.pem` };
    const args = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tally.example".split(" ");
    const files = ["-keyout", `${dir}/key.pem`, "-out", `${dir}/cert.pem`];
    await new Deno.Command("openssl", { args: [...args, ...files], stderr: "null" }).output();
    await Deno.chmod(`${dir}/key.pem`, 0o644);
    stack = await startStack({ app: "tests/support/fixture_app.ts" });
    const { listen } = await written(dir, { ...tls, PUBLIC_URL: "https://tally.example:8443/" });
    const ports = { 8080: plain };
    let text = listen.replace("listen 8443", `listen ${freePort()}`);
    for (const [port, free] of Object.entries(ports)) text = text.replaceAll(port, String(free));
    await Deno.writeTextFile(`${stack.dir}/nginx/run/listen.conf`, text);
    await stack.nginx.restart();
  });
  after(async () => {
    await stack[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  });

  const requests: Record<string, string> = {
    "its own host": "GET /a?b=c HTTP/1.1\r\nHost: tally.example",
    "another host": "GET /a?b=c HTTP/1.1\r\nHost: evil.example",
    "another host and port": "POST /a?b=c HTTP/1.1\r\nHost: evil.example:8443\r\nContent-Length: 0",
    "no host": "GET /a?b=c HTTP/1.0",
    "another host in its line": "GET http://evil.example/a?b=c HTTP/1.1\r\nHost: evil.example",
    "another host as forwarded": "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: evil.example",
  };
  for (const [name, request] of Object.entries(requests)) {
    it(`redirects plain HTTP to PUBLIC_URL, for a request with ${name}`, async () => {
      const answer = await raw(
        `http://127.0.0.1:${plain}`,
        `${request}\r\nConnection: close\r\n\r\n`,
      );
      assertMatch(answer, /^HTTP\/1.1 308 /);
      const location = answer.match(/^location: (.*?)\r$/im)?.[1];
      assertEquals(location, "https://tally.example:8443/a?b=c");
    });
  }

  const origins: Record<string, string> = {
    "https://tally.example": "https://tally.example",
    "https://tally.example/": "https://tally.example",
    "https://tally.example:8443/book?x#y": "https://tally.example:8443",
    "https://[2001:db8::1]:8443": "https://[2001:db8::1]:8443",
  };
  for (const [url, origin] of Object.entries(origins)) {
    it(`redirects to the origin of ${url}`, async () => {
      const { listen } = await written(dir, { ...tls, PUBLIC_URL: url });
      assertMatch(listen, new RegExp(`return 308 ${RegExp.escape(origin)}\\$request_uri;`));
    });
  }

  for (
    const url of [
      "",
      "http://tally.example",
      "https://",
      "https://a b",
      "https://u@h",
      "https://h;x",
    ]
  ) {
    it(`does not start with PUBLIC_URL=${JSON.stringify(url)}`, async () => {
      const { code, said, listen } = await written(dir, { ...tls, PUBLIC_URL: url });
      assertEquals([code, listen.includes("ssl")], [1, false]);
      assertMatch(said, /^nginx\.sh: PUBLIC_URL .*https:\/\/.*\n$/);
    });
  }

  it("needs no PUBLIC_URL without a certificate", async () => {
    const { code, listen } = await written(dir, {});
    assertEquals([code, listen], [0, "listen 8080 backlog=4096;\n"]);
  });
});
