// Measures work in processor time, which other load on the machine affects much less than a rate. Uses `sh`,
// because Deno reads /proc only with all permissions.
import { shell } from "$src/cli/stack/shell.ts";

export type Process = { pid?: number };

/** Microseconds per unit of work, for each group of processes with their children. */
export async function cost(
  processes: Record<string, Process[]>,
  work: () => Promise<number>,
): Promise<Record<string, number>> {
  const before = await ticks(processes);
  const done = await work();
  const after = await ticks(processes);
  const perSecond = Number(await shell("getconf CLK_TCK"));
  return Object.fromEntries(
    Object.keys(processes).map((name) => {
      const spent = (after[name] ?? 0) - (before[name] ?? 0);
      return [name, spent * 1_000_000 / perSecond / done];
    }),
  );
}

async function ticks(processes: Record<string, Process[]>): Promise<Record<string, number>> {
  const said = await shell("cat /proc/[0-9]*/stat 2>/dev/null || true");
  const found = said.trim().split("\n").map((line) => {
    const [pid = "", rest = ""] = line.split(/ \(.*\) /);
    const fields = rest.split(" ");
    return { pid: Number(pid), parent: Number(fields[1]), spent: spentOf(fields) };
  });
  const parents = new Map(found.map(({ pid, parent }) => [pid, parent]));
  const isUnder = (pid: number, roots: number[]): boolean =>
    pid > 1 && (roots.includes(pid) || isUnder(parents.get(pid) ?? 0, roots));
  return Object.fromEntries(
    Object.entries(processes).map(([name, parts]) => {
      const roots = parts.flatMap(({ pid }) => pid ?? []);
      const own = found.filter(({ pid }) => isUnder(pid, roots));
      return [name, own.reduce((sum, { spent }) => sum + spent, 0)];
    }),
  );
}

/** User and kernel time of the process and of its ended children: proc(5), fields 14 to 17. */
function spentOf(fields: string[]): number {
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
}
