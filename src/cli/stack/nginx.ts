// Nginx with the project's own nginx.conf, copied byte for byte, and small files beside it with the settings
// of this stack: addresses, ports, the service's secret.
import type { ProcessGroup } from "./process_group.ts";
import { ManagedProcess } from "./managed_process.ts";
import type { ServerUser } from "./user.ts";

export type NginxOptions = {
  root: string;
  /** Distinguishes several Nginx of one stack. */
  name: string;
  port: number;
  insidePort: number;
  appPorts: number[];
  nginxSecret: string;
  limits: boolean;
};

export type Nginx = { part: ManagedProcess; url: string; insideUrl: string; accessLog: string };

export async function createNginx(
  keeper: ProcessGroup,
  user: ServerUser,
  options: NginxOptions & { changed: () => void },
): Promise<Nginx> {
  const dir = `${keeper.dir}/${options.name}`;
  const insideUrl = `http://127.0.0.1:${options.insidePort}`;
  for (const path of ["", "/run", "/logs", "/temp", "/cache"]) await user.mkdir(dir + path);
  await user.write(`${dir}/nginx.conf`, await Deno.readTextFile(`${options.root}/nginx.conf`));
  for (const [name, text] of Object.entries(runFiles(options))) {
    await user.write(`${dir}/run/${name}`, text);
  }
  const flags = ["-p", `${dir}/`, "-c", `${dir}/nginx.conf`, "-e", "stderr", "-g", "daemon off;"];
  const part = new ManagedProcess(keeper, {
    name: options.name,
    port: options.port,
    phase: "nginx",
    argv: [...user.prefix, "nginx", ...flags],
    env: { PATH: `${Deno.env.get("PATH") ?? ""}:/usr/sbin` },
    ready: () => fetch(`${insideUrl}/status`).then(({ ok, body }) => (body?.cancel(), ok)),
  }, options.changed);
  const url = `http://127.0.0.1:${options.port}`;
  return { part, url, insideUrl, accessLog: `${dir}/logs/access.log` };
}

/**
 * Nginx skips a failed replica for a second. If it would skip all of them, it tries the backup entries: a
 * replica that has just come back answers although it is still marked as failed.
 */
export function upstreamServers(appPorts: number[]): string {
  const servers = appPorts.map((port) => `server 127.0.0.1:${port}`);
  return [
    ...servers.map((server) => `${server} max_fails=1 fail_timeout=1s;\n`),
    ...servers.map((server) => `${server} max_fails=0 backup;\n`),
  ].join("");
}

function runFiles(options: NginxOptions): Record<string, string> {
  const { port, insidePort, appPorts, nginxSecret, limits } = options;
  return {
    "listen.conf": `listen 127.0.0.1:${port} backlog=4096;\n`,
    "inside.conf": `listen 127.0.0.1:${insidePort};\n`,
    "upstream.conf": upstreamServers(appPorts),
    "limits.conf": limits ? "limit_req zone=writes burst=200 nodelay;\n" : "",
    "service.conf": `geo $from_app { default 0; 127.0.0.1 1; }
map "$from_app $http_x_tallybook_secret" $from_service { default ""; "1 ${nginxSecret}" 1; }
`,
  };
}
