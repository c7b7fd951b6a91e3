// `deno task test:long` asks for the long forms; the suite runs the short ones.
export const LONG = Deno.env.get("LONG") !== undefined;

export const seed = Number(Deno.env.get("TEST_SEED") ?? Date.now() % 1_000_000);

export function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
