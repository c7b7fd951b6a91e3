// Owns a temporary directory and every process started in it. A shell process (the watchdog) waits at the
// other end of a pipe; when the pipe closes, it ends all of them and removes the directory. So an orderly
// close, a crash and a SIGKILL of this process all clean up in the same way.
import { AppError } from "../../errors.ts";

// A process records its own id before it execs the program, so it never runs unrecorded; it exits if the
// watchdog has already moved `pids`.
const BECOME = `echo $$ >"$1" || exit 1
[ -z "$2" ] || exec >>"$2" 2>&1
shift 2
exec "$@"`;

const WATCHDOG = `trap '' INT TERM HUP
cat >/dev/null
cd "$1" && mv pids ending || exit 0
alive() { kill -0 "$1" && ! grep -q '^State:.*Z' "/proc/$1/status"; }
any_alive() { for pid in $1; do alive "$pid" && return 0; done; return 1; }
for phase in 1 2 3 4; do
  pids= all=
  for file in ending/"$phase"-*; do
    [ -e "$file" ] && read -r pid <"$file" || continue
    pids="$pids $pid"
    all="$all $pid $(cat "/proc/$pid/task/$pid/children")"
    case $file in *-postgres) signal=QUIT ;; *) signal=TERM ;; esac
    kill -s CONT -- "-$pid" $all
    # A command's children get the signal, too; servers stop their own children.
    [ "$phase" != 1 ] || kill -s TERM -- "-$pid"
    kill -s "$signal" "$pid"
  done
  tries=0
  while any_alive "$all" && [ $tries -lt 300 ]; do tries=$((tries + 1)); sleep 0.01; done
  for pid in $pids; do kill -s KILL -- "-$pid"; done
  for pid in $all; do alive "$pid" && kill -s KILL "$pid"; done
done
cd / && rm -rf "$1"
while [ -e "$1" ]; do sleep 0.1; rm -rf "$1"; done`;

// PostgreSQL's children have process groups of their own, so each is signalled by its id.
const SIGNAL = `kids=$(cat "/proc/$2/task/$2/children")
kill -s "$1" -- "-$2" $kids
[ "$1" = KILL ] || exit 0
for pid in $kids; do
  while kill -0 "$pid" && ! grep -q '^State:.*Z' "/proc/$pid/status"; do sleep 0.01; done
done`;

/** The order in which processes end: clients before the servers they use. */
export const PHASE = { command: 1, nginx: 2, app: 3, server: 4 } as const;

export type SpawnOptions = {
  phase: keyof typeof PHASE;
  env?: Record<string, string>;
  cwd?: string;
  /** A log file in the group's directory, or this process's own input and output. */
  output: "log" | "inherit";
};

export type Running = { pid: number; ended: Promise<Deno.CommandStatus> };

export class ProcessGroup implements AsyncDisposable {
  private constructor(readonly dir: string, readonly watchdog: Deno.ChildProcess) {}

  static async open(): Promise<ProcessGroup> {
    const dir = await Deno.makeTempDir({ prefix: "tallybook-" });
    const watchdog = new Deno.Command("sh", {
      args: ["-c", WATCHDOG, "tallybook-watchdog", dir],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    // Servers that run as another user may traverse the directory but not list it.
    await Deno.chmod(dir, 0o711);
    for (const name of ["pids", "logs"]) await Deno.mkdir(`${dir}/${name}`, { mode: 0o700 });
    return new ProcessGroup(dir, watchdog);
  }

  logFile(name: string): string {
    return `${this.dir}/logs/${name}.log`;
  }

  /** The end of a process's log, for the error message when it does not start. */
  logTail(name: string): string {
    try {
      return Deno.readTextFileSync(this.logFile(name)).slice(-2000).trim();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }

  spawn(name: string, argv: string[], options: SpawnOptions): Running {
    const inherit = options.output === "inherit";
    const pidFile = `${this.dir}/pids/${PHASE[options.phase]}-${name}`;
    const child = new Deno.Command("sh", {
      args: ["-c", BECOME, "sh", pidFile, inherit ? "" : this.logFile(name), ...argv],
      cwd: options.cwd,
      env: options.env,
      stdin: inherit ? "inherit" : "null",
      stdout: inherit ? "inherit" : "null",
      stderr: inherit ? "inherit" : "null",
      detached: true,
    }).spawn();
    const ended = child.status.then(async (status) => {
      // Ends the children that the process left behind.
      await signalTree(child.pid, "KILL");
      await Deno.remove(pidFile).catch(() => {});
      return status;
    });
    return { pid: child.pid, ended };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.watchdog.stdin.close();
    const { success } = await this.watchdog.status;
    if (!success) throw new AppError("unavailable", `directory not removed: ${this.dir}`);
  }
}

/** Signals a process, its group and its children; after KILL, waits until the children are gone. */
export async function signalTree(pid: number, signal: string): Promise<void> {
  const args = ["-c", SIGNAL, "sh", signal, String(pid)];
  const quiet = { stdin: "null", stdout: "null", stderr: "null" } as const;
  await new Deno.Command("sh", { args, ...quiet }).output();
}
