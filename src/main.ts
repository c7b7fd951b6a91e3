// Reads the configuration, opens, serves and closes the service; no other file does.
import { resolve } from "node:path";
import { createApp } from "./app.ts";
import { type Config, loadConfig } from "./config/config.ts";
import { openDatabase } from "./connections/postgres.ts";
import { AppError, reason } from "./errors.ts";
import { log } from "./log.ts";
import { UnhandledRejections } from "./observability/rejections.ts";
import { addSample, openDefaultPoll } from "./sample_data.ts";
import { firstAdminToken } from "./security/secrets.ts";
import { openServices } from "./services.ts";
import { prepare } from "./start.ts";

const FORCED_EXIT_MS = 9000;
const LAST_WRITES_MS = 1000;

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

async function main(): Promise<void> {
  const rejections = new UnhandledRejections();
  const stop = stopSignal();
  const config = loadConfig(Deno.args);
  log.setLevel(config.LOG_LEVEL);
  await using database = await openDatabase(config, { alone: true });
  await prepare(config, database, stop);
  if (stop.aborted) return;
  await using services = await openServices(config, database);
  rejections.countIn(services.metrics.rejections);
  const isNew = await openDefaultPoll(services.sql, services.appender);
  if (isNew && config.SAMPLE_DATA) await addSample(services.sql, services.appender);
  const app = createApp(services);
  const server = listen(config, app.fetch);
  // Generated only now: a start that found its port taken must not use up the token that is shown
  // once.
  const token = await firstAdminToken(config, services.sql);
  welcome(config, server.addr.port, token);
  await aborted(stop);
  setTimeout(() => Deno.exit(1), FORCED_EXIT_MS);
  await services.inFlightWrites.idle(LAST_WRITES_MS);
  await services.live[Symbol.asyncDispose]();
  await server.shutdown();
}

type Fetch = (request: Request, env: { peer: string }) => Response | Promise<Response>;

function listen({ PORT, HOST }: Config, fetch: Fetch) {
  try {
    return Deno.serve(
      { port: PORT, hostname: HOST, onListen() {} },
      (request, { remoteAddr }) =>
        fetch(request, { peer: "hostname" in remoteAddr ? remoteAddr.hostname : "local" }),
    );
  } catch (error) {
    throw new AppError("unavailable", `cannot listen: ${reason(error)}: ${HOST}:${PORT}`);
  }
}

function welcome(config: Config, port: number, token: string | undefined): void {
  const place = config.DATABASE_URL
    ? `in PostgreSQL at ${new URL(config.DATABASE_URL).host}`
    : `in ${resolve(config.DATA_DIR)}, with PostgreSQL embedded and the cache in memory`;
  say(`Tallybook is open at ${config.PUBLIC_URL ?? `http://localhost:${port}`}`);
  say(`Everything it knows is kept ${place}`);
  if (token) say(`Admin token, shown this once: ${token}`);
  if (config.ACCESS === "open") {
    say("ACCESS=open: anybody may change users and items; ACCESS=guarded asks for the admin token");
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    signal.addEventListener("abort", () => done(), { once: true });
    // The service was asked to stop while it was opening.
    if (signal.aborted) done();
  });
}

function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => stop.abort());
  }
  return stop.signal;
}

try {
  await main();
  Deno.exit(0);
} catch (error) {
  Deno.stderr.writeSync(new TextEncoder().encode(`tallybook: ${reason(error)}\n`));
  Deno.exit(1);
}
