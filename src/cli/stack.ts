// `deno task stack [--replicas N] [--port P] [-- command...]`: runs the stack until the command ends, or
// until Ctrl-C.
import { AppError, reason } from "../errors.ts";
import { type Stack, startStack } from "./stack/mod.ts";
import { askedToStop } from "./stack/signals.ts";
import { supervise } from "./stack/supervisor.ts";

const USAGE = "usage: deno task stack [--replicas N] [--port P] [-- command...]";

type Arguments = { replicas: number; port: number | undefined; command: string[] };

export function parseArguments(args: string[]): Arguments {
  const found: Arguments = { replicas: 1, port: undefined, command: [] };
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = (args[i] ?? "").split("=", 2);
    if (args[i] === "--") return { ...found, command: args.slice(i + 1) };
    const value = inline ?? args[++i];
    if (name === "--replicas") found.replicas = wholeNumber(name, value, 64);
    else if (name === "--port") found.port = wholeNumber(name, value, 65535);
    else throw new AppError("invalid", `unknown option: ${name}\n${USAGE}`);
  }
  return found;
}

function wholeNumber(name: string, value: string | undefined, most: number): number {
  const number = Number(value || NaN);
  if (Number.isInteger(number) && number >= 1 && number <= most) return number;
  throw new AppError("invalid", `${name} is a number from 1 to ${most}: ${value}\n${USAGE}`);
}

async function runCommand(stack: Stack, command: string[]): Promise<number> {
  const options = { phase: "command", env: stack.env, output: "inherit" } as const;
  const { code } = await stack.keeper.spawn("command", command, options).ended;
  return code;
}

function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(line + "\n"));
}

async function serve(stack: Stack): Promise<never> {
  say(`Tallybook on ${stack.url} (admin token ${stack.secrets.ADMIN_TOKEN})`);
  say(`processes and logs: ${stack.dir}/stack.json, ${stack.dir}/logs; Ctrl-C stops everything`);
  return await new Promise<never>(() => {});
}

async function main(): Promise<number> {
  const stopped = askedToStop();
  const { command, ...options } = parseArguments(Deno.args);
  const starting = startStack({ ...options, say });
  const early = await Promise.race([stopped, starting]);
  await using stack = await starting;
  if (typeof early === "number") return early;
  using _supervisor = supervise(stack.apps, say);
  return await Promise.race([
    stopped,
    command.length > 0 ? runCommand(stack, command) : serve(stack),
  ]);
}

if (import.meta.main) {
  const code = await main().catch((error) => {
    say(`stack: ${reason(error)}`);
    return 1;
  });
  Deno.exit(code);
}
