// Runs the service with the CPU profiler on from SIGUSR1 to SIGUSR2; writes DATA_DIR/profile.json.
import { Session } from "node:inspector";

const session = new Session();
session.connect();

function ask<Answer>(method: string, params: object = {}): Promise<Answer> {
  return new Promise((resolve, reject) =>
    session.post(method, params, (error, answer) => {
      if (error) reject(error);
      else resolve(answer as Answer);
    })
  );
}

const SAMPLE_US = 250;

Deno.addSignalListener("SIGUSR1", async () => {
  await ask("Profiler.enable");
  await ask("Profiler.setSamplingInterval", { interval: SAMPLE_US });
  await ask("Profiler.start");
});

Deno.addSignalListener("SIGUSR2", async () => {
  const { profile } = await ask<{ profile: unknown }>("Profiler.stop");
  const path = `${Deno.env.get("DATA_DIR")}/profile`;
  await Deno.writeTextFile(`${path}.part`, JSON.stringify(profile));
  await Deno.rename(`${path}.part`, `${path}.json`);
});

await import("$src/main.ts");
