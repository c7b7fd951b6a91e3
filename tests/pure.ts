// `deno task test:pure`: the tests that need no server, for where there is none, as in the image's build.
// The list is read from what they import, so it cannot fall behind.
import { findGroups } from "./support/groups.ts";

// A test that imports one of these, however indirectly, needs PostgreSQL, Redis, Nginx or a browser.
const SERVERS = [
  "/tests/support/database.ts",
  "/src/cli/stack/mod.ts",
  "/src/cli/stack/shell.ts",
];

type Graph = { modules: { specifier: string }[] };

async function deno(...args: string[]): Promise<{ code: number; text: string }> {
  const run = new Deno.Command(Deno.execPath(), { args, stderr: "inherit" });
  const { code, stdout } = await run.output();
  return { code, text: new TextDecoder().decode(stdout) };
}

async function needsServer(file: string): Promise<boolean> {
  const { text } = await deno("info", "--json", file);
  const { modules }: Graph = JSON.parse(text);
  return modules.some(({ specifier }) => SERVERS.some((path) => specifier.endsWith(path)));
}

const files = (await findGroups([])).flatMap((group) => group.files);
const needs = await Promise.all(files.map(needsServer));
const pure = files.filter((_, index) => !needs[index]);
const flags = [
  "--parallel",
  "--no-check",
  "--allow-env",
  "--allow-read",
  "--allow-write",
  "--allow-sys",
];
const net = ["--allow-net", "--allow-run=deno"];
const { code, text } = await deno("test", ...flags, ...net, ...pure);
Deno.stdout.writeSync(new TextEncoder().encode(text));
Deno.exit(pure.length > 0 ? code : 1);
