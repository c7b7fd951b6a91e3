// Runs tasks as an owner does, each in a process of its own, and samples its memory.
import { AppError } from "$src/errors.ts";

// Samples memory in `sh`, because Deno reads /proc only with all permissions.
const RUN = `"$@" & pid=$!
while sed -n "s/^VmRSS:[^0-9]*//p" "/proc/$pid/status" 2>/dev/null; do sleep 0.25; done >&2 &
wait $pid`;

export class Tasks {
  /** The highest resident memory of any task. */
  megabytes = 0;

  constructor(readonly env: Record<string, string>) {}

  async run(name: string, ...args: string[]): Promise<string> {
    // Takes the command from deno.json and runs it without the extra process of `deno task`.
    const { tasks } = JSON.parse(await Deno.readTextFile("deno.json"));
    const [, ...words] = String(tasks[name]).split(" ");
    const argv = ["-c", RUN, "sh", Deno.execPath(), ...words, ...args];
    const child = new Deno.Command("sh", { args: argv, env: this.env });
    const { success, stdout, stderr } = await child.output();
    const [said, looked] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    if (!success) throw new AppError("conflict", `${name} ${args}: ${said}${looked?.slice(-500)}`);
    for (const [, kilobytes] of looked?.matchAll(/^(\d+) kB$/gm) ?? []) {
      this.megabytes = Math.max(this.megabytes, Number(kilobytes) / 1024);
    }
    return said ?? "";
  }
}
