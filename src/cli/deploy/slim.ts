// slim.ts FROM TO: writes a deno.json for the image, without the dependencies of the tests and the embedded
// database and without development tasks, because Deno installs everything that deno.json lists.
const [from = "deno.json", to = "slim.json"] = Deno.args;

const NOT_IMPORTED = /^(@std\/|fast-check|playwright-core|axe-core|@electric-sql\/)/;
const NOT_RUN = /^(dev|test|stack|bench|ok)\b/;

type Settings = { imports: Record<string, string>; tasks: Record<string, string> };

function without(entries: Record<string, string>, pattern: RegExp): Record<string, string> {
  return Object.fromEntries(Object.entries(entries).filter(([name]) => !pattern.test(name)));
}

const settings: Settings = JSON.parse(await Deno.readTextFile(from));
const imports = without(settings.imports, NOT_IMPORTED);
const tasks = without(settings.tasks, NOT_RUN);
await Deno.writeTextFile(to, JSON.stringify({ ...settings, imports, tasks }, null, 2) + "\n");
