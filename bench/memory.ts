// The resident memory of a process. Uses `sh`, because Deno reads /proc only with all permissions.
import { shell } from "$src/cli/stack/shell.ts";

export async function residentMegabytes(pid: number): Promise<number> {
  const said = await shell('sed -n "s/^VmRSS:[^0-9]*//p" "/proc/$1/status"', String(pid));
  return parseInt(said) / 1024;
}
