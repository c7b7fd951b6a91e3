// Finds the programs that are not part of Deno, and installs missing ones from Debian packages if this
// process is root there. Elsewhere one message lists what to install.
import { AppError } from "../../errors.ts";
import { shell, tryShell } from "./shell.ts";

/** The Debian packages of each tool. */
const PACKAGES = {
  postgres: "postgresql",
  redis: "redis-server",
  nginx: "nginx libnginx-mod-http-lua",
  chromium: "chromium",
  promtool: "prometheus",
  wrk: "wrk",
  spin: "spin",
  gcc: "gcc libc6-dev",
};

// The path from which nginx.conf loads the module.
const LUA_MODULE = "/usr/lib/nginx/modules/ngx_http_lua_module.so";

export type Tool = keyof typeof PACKAGES;

const FIND_POSTGRES = `newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
if [ -n "$newest" ] && [ -x "$newest/initdb" ]; then echo "$newest"
else dirname "$(command -v initdb)"; fi`;

// policy-rc.d keeps the packages from starting their services, which would take the standard ports.
const INSTALL = `set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\\nexit 101\\n' >$policy
  chmod 755 $policy
  trap "rm -f $policy" EXIT
fi
install() { apt-get install -y -qq --no-install-recommends "$@"; }
install "$@" >/dev/null 2>&1 || { apt-get update -qq && install "$@" >/dev/null; }`;

export async function postgresBin(): Promise<string> {
  const found = await tryShell(FIND_POSTGRES);
  if (found === undefined || found === "" || found === ".") {
    throw new AppError("unavailable", "not installed: PostgreSQL");
  }
  return found;
}

export async function missingTools(tools: Tool[]): Promise<Tool[]> {
  const missing: Tool[] = [];
  for (const tool of tools) if (!await isInstalled(tool)) missing.push(tool);
  return missing;
}

/** Installs missing tools, or throws one line that lists what to install. */
export async function ensureTools(tools: Tool[], say: (line: string) => void): Promise<void> {
  const missing = await missingTools(tools);
  if (missing.length === 0) return;
  const packages = missing.map((tool) => PACKAGES[tool]);
  if (!await mayInstall()) {
    const how = `apt-get install ${packages.join(" ")}`;
    throw new AppError("unavailable", `please install first, as root: ${how}`);
  }
  say(`installing ${packages.join(", ")} ...`);
  await shell(INSTALL, ...packages.flatMap((names) => names.split(" ")));
  const still = await missingTools(tools);
  if (still.length > 0) throw new AppError("unavailable", `not installed: ${still.join(", ")}`);
}

async function isInstalled(tool: Tool): Promise<boolean> {
  if (tool === "postgres") return await postgresBin().then(() => true, () => false);
  if (tool === "nginx" && await tryShell(`[ -e "${LUA_MODULE}" ]`) === undefined) return false;
  const name = tool === "redis" ? "redis-server" : tool;
  // /usr/sbin is not on every user's PATH.
  return await tryShell('PATH=$PATH:/usr/sbin command -v "$1"', name) !== undefined;
}

async function mayInstall(): Promise<boolean> {
  return await tryShell('[ "$(id -u)" = 0 ] && command -v apt-get') !== undefined;
}
