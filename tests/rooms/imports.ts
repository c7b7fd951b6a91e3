// Which room imports which, read from the module graph. The test and the picture in CONTRIBUTING.md are
// made from it.

/** A room may import those on its right, and what every room may import: errors.ts and log.ts. */
export const ROOMS: Record<string, string[]> = {
  main: [
    "app",
    "services",
    "start",
    "sample_data",
    "config",
    "connections",
    "observability",
    "security",
  ],
  services: [
    "async",
    "cache",
    "config",
    "connections",
    "freshness",
    "http",
    "leader",
    "live",
    "observability",
    "projections",
    "projector",
    "security",
    "store",
    "visits",
  ],
  app: ["routes", "pages", "http", "connections"],
  cli: [
    "async",
    "cache",
    "config",
    "connections",
    "projections",
    "projector",
    "sample_data",
    "security",
    "store",
    "visits",
  ],
  routes: [
    "pages",
    "schemas",
    "http",
    "commands",
    "projections",
    "projector",
    "cache",
    "live",
    "observability",
    "security",
    "connections",
    "store",
    "events",
  ],
  pages: ["schemas", "http", "commands", "projections", "projector", "cache", "store", "events"],
  http: [
    "schemas",
    "async",
    "cache",
    "commands",
    "config",
    "connections",
    "freshness",
    "leader",
    "live",
    "observability",
    "projector",
    "security",
    "store",
    "visits",
    "events",
  ],
  observability: ["schemas", "cache", "config", "connections", "projector", "store", "visits"],
  schemas: ["projections"],
  start: ["async", "config", "connections", "projections", "projector", "store"],
  sample_data: ["commands", "connections", "security", "store"],
  visits: ["async", "cache", "commands", "connections", "freshness", "leader", "store"],
  live: ["async", "connections", "observability", "store", "events"],
  freshness: ["async", "cache", "connections", "leader", "projections", "store", "events"],
  projector: ["async", "connections", "leader", "projections", "store", "events"],
  leader: [
    "async",
    "commands",
    "config",
    "connections",
    "projections",
    "security",
    "store",
    "events",
  ],
  security: ["async", "config", "connections", "store"],
  cache: ["connections"],
  commands: ["store", "events"],
  projections: ["connections", "events"],
  store: ["async", "connections", "events"],
  connections: ["async", "config"],
  async: [],
  config: [],
  events: [],
};

const EVERYWHERE = ["errors", "log"];
const ROOT = new URL("../../", import.meta.url);

type Graph = {
  modules: { specifier: string; dependencies?: { code?: Resolved; type?: Resolved }[] }[];
};
type Resolved = { specifier?: string };

/** Each source file with its imports, types too. */
export async function readImports(): Promise<Map<string, string[]>> {
  const entries = ["src/main.ts"];
  for (const folder of ["src/cli", "src/cli/deploy"]) {
    for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
      if (name.endsWith(".ts")) entries.push(`${folder}/${name}`);
    }
  }
  const imports = new Map<string, string[]>();
  for (const entry of entries) {
    for (const { specifier, dependencies = [] } of (await graphOf(entry)).modules) {
      const file = pathOf(specifier);
      if (file === undefined) continue;
      const targets = dependencies.flatMap(({ code, type }) => [code, type])
        .flatMap((resolved) => pathOf(resolved?.specifier ?? "") ?? []);
      imports.set(file, [...new Set(targets)]);
    }
  }
  return imports;
}

async function graphOf(entry: string): Promise<Graph> {
  const args = ["info", "--json", entry];
  const child = new Deno.Command(Deno.execPath(), { args, cwd: ROOT, stderr: "inherit" });
  const { stdout } = await child.output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

function pathOf(specifier: string): string | undefined {
  const path = specifier.startsWith(ROOT.href) ? specifier.slice(ROOT.href.length) : "";
  return /^(src|events|projections)\//.test(path) ? path : undefined;
}

export function roomOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first === "src" ? second.replace(/\.tsx?$/, "") : first;
}

/** `from -> to` of each import that no room may make. */
export function forbidden(imports: Map<string, string[]>): string[] {
  return [...imports].flatMap(([file, targets]) =>
    targets.filter((target) => {
      const [from, to] = [roomOf(file), roomOf(target)];
      return from !== to && !EVERYWHERE.includes(to) && !EVERYWHERE.includes(from) &&
        !ROOMS[from]?.includes(to);
    }).map((target) => `${file} -> ${target}`)
  );
}

/** The files of each cycle. */
export function cycles(imports: Map<string, string[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, path: string[]) => {
    const at = path.indexOf(file);
    if (at >= 0) return void found.push(path.slice(at));
    if (done.has(file)) return;
    for (const target of imports.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of imports.keys()) visit(file, []);
  return found;
}

/** As CONTRIBUTING.md shows it: without arrows implied by a longer path. */
export function mermaid(): string {
  const reach = (from: string, seen = new Set<string>()): Set<string> => {
    for (const to of ROOMS[from] ?? []) if (!seen.has(to)) reach(to, seen.add(to));
    return seen;
  };
  const arrows = Object.entries(ROOMS).flatMap(([from, targets]) =>
    targets.filter((to) => !targets.some((other) => other !== to && reach(other).has(to)))
      .map((to) => `  ${from} --> ${to}`)
  );
  return ["```mermaid", "flowchart TD", ...arrows, "```"].join("\n");
}
