// A child process of this project whose output lines are kept here and outlive it.

export type Talker = AsyncDisposable & {
  lines: string[];
  /** When each line arrived, in milliseconds of this process. */
  times: number[];
  kill(signal: Deno.Signal): void;
  /** Resolves when the process has ended and its last whole line was read. */
  ended: Promise<Deno.CommandStatus>;
};

export function talk(file: string, args: string[]): Talker {
  const path = new URL(file, import.meta.url).pathname;
  const allowed = ["--allow-net", "--allow-env", "--allow-sys", "--allow-read"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...allowed, path, ...args],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines: string[] = [];
  const times: number[] = [];
  const read = (async () => {
    let rest = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) {
        lines.push(line);
        times.push(performance.now());
      }
    }
  })();
  let over = false;
  const ended = read.then(() => child.status).finally(() => {
    over = true;
  });
  const kill = (signal: Deno.Signal) => {
    if (!over) child.kill(signal);
  };
  return {
    lines,
    times,
    kill,
    ended,
    async [Symbol.asyncDispose]() {
      kill("SIGKILL");
      await ended;
    },
  };
}
