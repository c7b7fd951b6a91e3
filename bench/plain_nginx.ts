// The baseline of a HIT: our own nginx.conf without the page versions. Nginx, workers, headers, maps, log
// format, compression, open files, life of an entry and the answer itself are the same; only Lua and the
// version in the key are missing.
import { createNginx } from "$src/cli/stack/nginx.ts";
import { freePort, type Stack } from "$src/cli/stack/mod.ts";
import { serverUser } from "$src/cli/stack/user.ts";
import { AppError } from "$src/errors.ts";

const VERSIONS: [what: RegExp, instead: string][] = [
  [/^load_module .*\n/gm, ""],
  [/ {2}lua_shared_dict versions [\s\S]*?\n {2}}\n/g, ""],
  [/ +set \$page_version "";\n/g, ""],
  [/ +set_by_lua \$page_version .*\n/g, ""],
  [/ {2}map \$page_version \$unversioned \{[\s\S]*?\n {2}}\n/g, ""],
  [/ ?\$unversioned/g, ""],
  [/\$page_version /g, ""],
  [/ {4}location = \/versions \{[\s\S]*?\n {4}}\n/g, ""],
];

/** A second Nginx before the stack's own app, whose entries only expire. */
export async function startPlainNginx(stack: Stack): Promise<string> {
  const root = `${stack.dir}/plain`;
  await Deno.mkdir(root);
  const own = await Deno.readTextFile("nginx.conf");
  await Deno.writeTextFile(`${root}/nginx.conf`, withoutVersions(own));
  const { part, url } = await createNginx(stack.keeper, await serverUser(), {
    root,
    name: "nginx-plain",
    port: freePort(),
    insidePort: freePort(),
    appPorts: stack.apps.map(({ port }) => port),
    nginxSecret: stack.secrets.NGINX_SECRET,
    limits: false,
    changed: () => {},
  });
  await part.start();
  return url;
}

function withoutVersions(own: string): string {
  const plain = VERSIONS.reduce((text, [what, instead]) => {
    const shorter = text.replace(what, instead);
    if (shorter === text) throw new AppError("conflict", `nginx.conf does not match ${what}`);
    return shorter;
  }, own);
  const left = plain.match(/^[^#\n]*(lua|page_version|unversioned).*$/m)?.[0];
  if (left) throw new AppError("conflict", `nginx.conf still has: ${left.trim()}`);
  return plain;
}
