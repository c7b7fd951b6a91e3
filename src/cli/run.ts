// Common to all tasks: one line on failure, an exit code, and an AbortSignal for Ctrl-C.
import { asUnavailable } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";

export async function run(main: (signal: AbortSignal) => Promise<number | void>): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, onSignal);
  try {
    Deno.exitCode = await main(stop.signal) ?? 0;
  } catch (error) {
    say(`error: ${describe(asUnavailable(error))}`);
    Deno.exitCode = 1;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.removeSignalListener(signal, onSignal);
    }
  }
}

function describe(error: unknown): string {
  if (error instanceof AppError) return reason(error);
  const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
  return `${reason(error) || "unknown"}${code}`;
}

/** Messages go to standard error, so that standard output stays clean for a pipe. */
export function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}

export async function print(text: string): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += await Deno.stdout.write(bytes.subarray(sent));
}
