// A temporary Redis with a password and without persistence.
import type { ProcessGroup } from "./process_group.ts";
import { ManagedProcess } from "./managed_process.ts";
import { freePort } from "./ports.ts";
import { secret } from "./secrets.ts";
import type { ServerUser } from "./user.ts";

export type Redis = { part: ManagedProcess; url: string };

export async function createRedis(
  keeper: ProcessGroup,
  user: ServerUser,
  changed: () => void,
): Promise<Redis> {
  const dir = `${keeper.dir}/redis`;
  const port = freePort();
  const password = secret();
  await user.mkdir(dir);
  await user.write(`${dir}/redis.conf`, configuration(dir, port, password));
  const part = new ManagedProcess(keeper, {
    name: "redis",
    port,
    phase: "server",
    cwd: dir,
    argv: [...user.prefix, "redis-server", `${dir}/redis.conf`],
    ready: () => ping(port, password),
  }, changed);
  await part.start();
  return { part, url: `redis://:${password}@127.0.0.1:${port}/0` };
}

function configuration(dir: string, port: number, password: string): string {
  return `bind 127.0.0.1
port ${port}
requirepass ${password}
save ""
appendonly no
dir ${dir}
`;
}

async function ping(port: number, password: string): Promise<boolean> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(`AUTH ${password}\r\nPING\r\n`));
  const answer = new Uint8Array(64);
  let text = "";
  while (!text.includes("+PONG")) {
    const size = await connection.read(answer);
    if (size === null || text.startsWith("-")) return false;
    text += new TextDecoder().decode(answer.subarray(0, size));
  }
  return true;
}
