// The baselines of figures over HTTP: a minimal handler, and a static file from Nginx.
import { freePort, type Stack } from "$src/cli/stack/mod.ts";
import { ManagedProcess } from "$src/cli/stack/managed_process.ts";
import { serverUser } from "$src/cli/stack/user.ts";
import { AppError } from "$src/errors.ts";

const ENTRIES = 50;
export const VOTE = '{"option":"option_a"}';

const JSON_TYPE = { "content-type": "application/json", accept: "application/json" };

async function post(url: string, body: string): Promise<string> {
  const answer = await fetch(url, { method: "POST", headers: JSON_TYPE, body });
  if (!answer.ok) throw new AppError("unavailable", `${url}: ${answer.status}`);
  return await answer.text();
}

/** It gives the same two answers as the service, and stores votes in the same PostgreSQL. */
export async function startBare(stack: Stack): Promise<{ url: string; part: ManagedProcess }> {
  const [app = ""] = stack.appUrls;
  for (let n = 0; n < ENTRIES; n++) {
    await post(`${app}/sign`, JSON.stringify({ name: "Ada", message: `Entry ${n}` }));
  }
  const [vote, page] = [`${stack.dir}/vote.json`, `${stack.dir}/page`];
  await Deno.writeTextFile(vote, await post(`${app}/polls/1/votes`, VOTE));
  const entries = await fetch(`${app}/entries`, { headers: JSON_TYPE });
  await Deno.writeTextFile(page, await entries.text(), { mode: 0o644 });
  const port = freePort();
  const script = new URL("bare.ts", import.meta.url).pathname;
  const rights = ["--allow-net", "--allow-env", `--allow-read=${stack.dir}`];
  const { ownerDatabaseUrl } = stack;
  const part = await startPart(stack, {
    name: "bare",
    port,
    argv: [
      ...[Deno.execPath(), "run", "--quiet", ...rights, script],
      ...[String(port), vote, page, ownerDatabaseUrl],
    ],
    path: "/live",
  });
  return { url: `http://127.0.0.1:${port}`, part };
}

/** Nginx with default settings, the same number of workers, and an access log. */
export async function startFiles(stack: Stack): Promise<string> {
  const port = freePort();
  const user = await serverUser();
  const dir = `${stack.dir}/files`;
  for (const path of ["", "/logs", "/root", "/temp"]) await user.mkdir(dir + path);
  await user.write(`${dir}/root/page`, await Deno.readTextFile(`${stack.dir}/page`));
  const temps = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path temp/${name};`).join(" ");
  await user.write(
    `${dir}/nginx.conf`,
    `worker_processes auto; pid nginx.pid; error_log logs/error.log;
events { worker_connections 4096; multi_accept on; }
http { ${temps} sendfile on; tcp_nopush on; keepalive_requests 10000; default_type application/json;
  access_log logs/access.log;
  server { listen 127.0.0.1:${port} backlog=4096; root root; } }
`,
  );
  const flags = ["-p", `${dir}/`, "-c", `${dir}/nginx.conf`, "-e", "stderr", "-g", "daemon off;"];
  const argv = [...user.prefix, "nginx", ...flags];
  await startPart(stack, { name: "files", port, argv, path: "/page" });
  return `http://127.0.0.1:${port}`;
}

type Plain = { name: string; port: number; argv: string[]; path: string };

async function startPart(stack: Stack, { name, port, argv, path }: Plain): Promise<ManagedProcess> {
  const part = new ManagedProcess(stack.keeper, {
    name,
    port,
    argv,
    phase: "command",
    env: { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin` },
    async ready() {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`);
      await answer.body?.cancel();
      return answer.ok;
    },
  }, () => {});
  await part.start();
  return part;
}
