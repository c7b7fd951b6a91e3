// The container's health check: exit code 0 if the service is ready for requests.
import { loadConfig } from "../../config/config.ts";
import { AppError } from "../../errors.ts";
import { ownAddress } from "./own_address.ts";
import { run } from "../run.ts";

const WITHIN_MS = 2500;

await run(async () => {
  const { PORT, HOST } = loadConfig();
  const name = Deno.env.get("LISTEN_NAME");
  const host = name ? (await ownAddress(name)).address : HOST.replace("0.0.0.0", "127.0.0.1");
  const answer = await fetch(`http://${host}:${PORT}/health/ready`, {
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  const said = await answer.text();
  if (!answer.ok) throw new AppError("unavailable", `not ready: ${said}`);
});
