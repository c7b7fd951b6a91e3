// PostgreSQL inside the service: PGlite in DATA_DIR, reached over a socket that only its owner can
// open. A second process (a task) connects to the socket of the running service.
import { once } from "node:events";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import type { PGlite } from "@electric-sql/pglite";
import type { PGLiteSocketHandler, PGLiteSocketHandlerOptions } from "@electric-sql/pglite-socket";
import { Session } from "./embedded_queue.ts";
import { AppError, reason } from "../errors.ts";

// The path of a Unix socket may have at most 107 bytes.
const LONGEST_SOCKET_PATH = 100;

const CLOSING_MS = 5000;

export type Embedded = AsyncDisposable & { socket: string };

export type OpenEmbedded = {
  /** For the service itself, which must not join another one: embedded means one process. */
  alone?: boolean;
};

export async function openEmbedded(
  dataDir: string,
  { alone = false }: OpenEmbedded = {},
): Promise<Embedded> {
  const dir = resolve(dataDir);
  const lock = await lockFile(dir);
  const mine = alone ? await awaitLock(lock) : await lock.tryLock(true);
  if (!mine) {
    lock.close();
    if (!alone) return await joinRunning(dir);
    throw new AppError("conflict", `another service runs on this DATA_DIR: ${dir}`);
  }
  try {
    return await serve(dir, lock);
  } catch (error) {
    lock.close();
    throw new AppError(
      "unavailable",
      `embedded database refused to open: ${reason(error)}: ${dir}`,
    );
  }
}

/** A service that was just told to stop may still be closing. */
async function awaitLock(lock: Deno.FsFile): Promise<boolean> {
  for (const deadline = Date.now() + CLOSING_MS; Date.now() < deadline;) {
    if (await lock.tryLock(true)) return true;
    await new Promise((done) => setTimeout(done, 100));
  }
  return false;
}

async function lockFile(dir: string): Promise<Deno.FsFile> {
  try {
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    return await Deno.open(join(dir, "lock"), { create: true, read: true, write: true });
  } catch (error) {
    throw new AppError("unavailable", `DATA_DIR cannot be written: ${reason(error)}: ${dir}`);
  }
}

async function joinRunning(dir: string): Promise<Embedded> {
  const deadline = Date.now() + 15_000;
  while (Date.now() < deadline) {
    const socket = (await Deno.readTextFile(join(dir, "lock"))).trim();
    if (socket !== "") return { socket, async [Symbol.asyncDispose]() {} };
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new AppError("unavailable", `another process is opening the database: ${dir}`);
}

async function serve(dir: string, lock: Deno.FsFile): Promise<Embedded> {
  await lock.truncate(0);
  const { PGlite } = await import("@electric-sql/pglite");
  const run = await runDir(dir);
  const socket = join(run, ".s.PGSQL.5432");
  await Deno.remove(socket).catch(ifFound);
  const db = await PGlite.create(join(dir, "postgres"));
  const server = await listen(db, socket);
  await Deno.chmod(socket, 0o600);
  await lock.write(new TextEncoder().encode(socket));
  return {
    socket,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await db.close();
      await lock.truncate(0);
      await Deno.remove(socket).catch(ifFound);
      if (run !== join(dir, "run")) await Deno.remove(run, { recursive: true }).catch(ifFound);
      lock.close();
    },
  };
}

type Queue = PGLiteSocketHandlerOptions["queryQueue"];

async function listen(db: PGlite, path: string): Promise<AsyncDisposable> {
  const { PGLiteSocketHandler } = await import("@electric-sql/pglite-socket");
  // The package exports the handler, but the queue's class only as a type.
  const queryQueue = new Session(db) as unknown as Queue;
  const handlers = new Set<PGLiteSocketHandler>();
  const server = createServer((socket) => {
    const handler = new PGLiteSocketHandler({ queryQueue, closeOnDetach: true });
    handlers.add(handler);
    socket.on("close", () => handlers.delete(handler));
    void handler.attach(socket);
  });
  server.listen(path);
  await once(server, "listening");
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server, "close");
      server.close();
      await Promise.all([...handlers].map((handler) => handler.detach(true)));
      await closed;
    },
  };
}

async function runDir(dir: string): Promise<string> {
  const near = join(dir, "run");
  if (near.length + 16 > LONGEST_SOCKET_PATH) {
    return await Deno.makeTempDir({ prefix: "tallybook-" });
  }
  await Deno.mkdir(near, { recursive: true, mode: 0o700 });
  return near;
}

function ifFound(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
