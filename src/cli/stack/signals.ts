// Detects that a task must stop.

const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Resolves with an exit code when this process receives a stop signal or loses its parent. */
export function askedToStop(): Promise<number> {
  return new Promise((resolve) => {
    Deno.addSignalListener("SIGINT", () => resolve(CODES.SIGINT));
    Deno.addSignalListener("SIGTERM", () => resolve(CODES.SIGTERM));
    Deno.addSignalListener("SIGHUP", () => resolve(CODES.SIGHUP));
    // `deno task` forwards signals, but cannot forward a SIGKILL of itself, so the parent is watched.
    const parent = Deno.ppid;
    const underTask = Deno.env.has("INIT_CWD");
    const watch = setInterval(() => {
      if (underTask && Deno.ppid !== parent) resolve(CODES.SIGHUP);
    }, 250);
    Deno.unrefTimer(watch);
  });
}
