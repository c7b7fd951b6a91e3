// PostgreSQL refuses to run as root, and no server here needs root. If root starts the stack, the servers
// run as a user that every system has.
import { AppError } from "../../errors.ts";
import { shell, tryShell } from "./shell.ts";

export type ServerUser = {
  /** The words before a command that make it run as this user. */
  prefix: string[];
  /** Creates a directory that belongs to the user and that nobody else can open. */
  mkdir(path: string): Promise<void>;
  /** Writes a file that only the user can read. */
  write(path: string, text: string): Promise<void>;
};

const CANDIDATES = ["postgres", "nobody"];

export async function serverUser(): Promise<ServerUser> {
  if (await shell("id -u") !== "0") return owner([], () => Promise.resolve());
  for (const name of CANDIDATES) {
    const ids = await tryShell('id -u "$1" && id -g "$1"', name);
    if (ids === undefined) continue;
    const [uid, gid] = ids.split("\n").map(Number);
    const prefix = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"];
    return owner(prefix, (path) => Deno.chown(path, uid ?? null, gid ?? null));
  }
  throw new AppError("unavailable", `no unprivileged user: ${CANDIDATES.join(", ")}`);
}

function owner(prefix: string[], give: (path: string) => Promise<void>): ServerUser {
  return {
    prefix,
    async mkdir(path) {
      await Deno.mkdir(path, { mode: 0o700 });
      await give(path);
    },
    async write(path, text) {
      await Deno.writeTextFile(path, text, { mode: 0o600 });
      await give(path);
    },
  };
}
