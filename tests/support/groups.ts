// The test files, and which of them may run side by side.
import { tryShell } from "$src/cli/stack/shell.ts";
import type { Tool } from "$src/cli/stack/mod.ts";

export type Group = { name: string; files: string[]; tools: Tool[]; skipped?: string };

// These measure, break or observe whole stacks: one file at a time.
const ALONE: Record<string, Tool[]> = {
  stack: ["nginx"],
  cache: ["nginx"],
  freshness: ["nginx"],
  model: ["spin", "gcc"],
  faults: ["nginx"],
  attacks: ["nginx"],
  observability: ["promtool"],
  connections: [],
  browser: ["nginx", "chromium"],
  containers: [],
  long: ["nginx"],
};

// These take minutes, and run by name: `deno task test:long`.
const LONG = "tests/long/";

/**
 * Files whose path contains one of the words (all but the long ones without words), as groups in
 * the order they run.
 */
export async function findGroups(words: string[]): Promise<Group[]> {
  const files = (await walk("tests")).filter((file) =>
    /[._]test\.tsx?$/.test(file) &&
    (words.length === 0 ? !file.startsWith(LONG) : words.some((word) => file.includes(word)))
  ).sort();
  const fast: Group = { name: "fast", files: [], tools: ["postgres", "redis"] };
  const groups = [fast];
  for (const file of files) {
    const name = file.split("/")[1] ?? "";
    const tools = ALONE[name];
    if (tools === undefined) fast.files.push(file);
    else groups.push({ name, files: [file], tools: ["postgres", "redis", ...tools] });
  }
  const found = groups.filter((group) => group.files.length > 0);
  return await withoutContainers(found);
}

/** A container engine cannot be installed from here on any machine, so its tests need an existing one. */
async function withoutContainers(groups: Group[]): Promise<Group[]> {
  if (!groups.some(({ name }) => name === "containers")) return groups;
  const engine = await tryShell("timeout 10 docker version");
  if (engine !== undefined) return groups;
  return groups.map((group) =>
    group.name === "containers" ? { ...group, skipped: "no Docker engine answers" } : group
  );
}

async function walk(dir: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(dir)) {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory) found.push(...await walk(path));
    else found.push(path);
  }
  return found;
}
