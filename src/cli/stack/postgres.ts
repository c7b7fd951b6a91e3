// A temporary PostgreSQL. fsync and synchronous_commit stay on, because benchmarks measure durable writes.
import type { ProcessGroup } from "./process_group.ts";
import { ManagedProcess } from "./managed_process.ts";
import { freePort } from "./ports.ts";
import { secret } from "./secrets.ts";
import { shell } from "./shell.ts";
import { postgresBin } from "./tools.ts";
import { waitFor } from "../../async/wait_for.ts";
import type { ServerUser } from "./user.ts";

export type Postgres = { part: ManagedProcess; ownerUrl: string; serviceUrl: string };

const DATABASE = "tallybook";

const SETTINGS = {
  listen_addresses: "127.0.0.1",
  shared_buffers: "256MB",
  max_connections: "200",
  fsync: "on",
  synchronous_commit: "on",
  jit: "off",
  // Uses files in the data directory, so that a killed server leaves nothing in /dev/shm.
  dynamic_shared_memory_type: "mmap",
};

export async function createPostgres(
  keeper: ProcessGroup,
  user: ServerUser,
  changed: () => void,
): Promise<Postgres> {
  const bin = await postgresBin();
  const dir = `${keeper.dir}/postgres`;
  const port = freePort();
  const password = secret();
  await user.mkdir(dir);
  await user.write(`${dir}/password`, password);
  await shell('cd "$1" && shift && exec "$@"', ...initdb(bin, dir, user));
  const psql = [`${bin}/psql`, "-h", dir, "-p", String(port), "-U", "owner", "-X", "-q", "-c"];
  const ask = (statement: string, database: string) =>
    shell('exec "$@"', ...psql, statement, database);
  const part = new ManagedProcess(keeper, {
    name: "postgres",
    port,
    phase: "server",
    cwd: dir,
    argv: [...user.prefix, `${bin}/postgres`, ...serverFlags(dir, port)],
    stopSignal: "INT",
    ready: async () => await ask("select 1", "postgres") !== undefined,
  }, changed);
  await part.start();
  await waitFor(async () => await ask(`create database ${DATABASE}`, "postgres") !== undefined);
  const url = (name: string, word: string) =>
    `postgres://${name}:${word}@127.0.0.1:${port}/${DATABASE}`;
  return { part, ownerUrl: url("owner", password), serviceUrl: url("tallybook", secret()) };
}

function initdb(bin: string, dir: string, user: ServerUser): string[] {
  const auth = ["--auth-local=trust", "--auth-host=scram-sha-256", `--pwfile=${dir}/password`];
  const shape = ["--encoding=UTF8", "--locale=C.UTF-8", "--username=owner", "--no-sync"];
  return [dir, ...user.prefix, `${bin}/initdb`, "-D", `${dir}/data`, ...auth, ...shape];
}

function serverFlags(dir: string, port: number): string[] {
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  return ["-D", `${dir}/data`, "-k", dir, "-p", String(port), ...settings];
}
