// Runs every other program through `sh`, so that the stack needs --allow-run for `sh` only.
import { AppError } from "../../errors.ts";

/** Runs a shell script to its end and returns its output. */
export async function shell(script: string, ...args: string[]): Promise<string> {
  const child = new Deno.Command("sh", { args: ["-c", script, "sh", ...args], stdin: "null" });
  const { success, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  if (success) return text.decode(stdout).trim();
  const said = text.decode(stderr).trim() || text.decode(stdout).trim();
  throw new AppError("unavailable", `command failed: ${[script, ...args].join(" ")}: ${said}`);
}

/** Like `shell`, but returns undefined on failure. */
export async function tryShell(script: string, ...args: string[]): Promise<string | undefined> {
  return await shell(script, ...args).catch(() => undefined);
}
