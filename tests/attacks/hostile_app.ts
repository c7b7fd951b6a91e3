// Attempts of a hostile dependency, under the permissions that the stack gives the service.
const root = new URL("../..", import.meta.url).pathname;

const tries: Record<string, () => unknown> = {
  "read /etc/passwd": () => Deno.readTextFileSync("/etc/passwd"),
  "read the home folder": () => [...Deno.readDirSync(Deno.env.get("HOME") ?? "/root")],
  "write the code": () => Deno.writeTextFileSync(`${root}src/main.ts`, ""),
  "write a file elsewhere": () => Deno.writeTextFileSync("/tmp/hostile", ""),
  "run a program": () => new Deno.Command("sh", { args: ["-c", "id"] }).outputSync(),
  "call another host": () => fetch("http://192.0.2.1/"),
  "connect elsewhere": () => Deno.connect({ hostname: "192.0.2.1", port: 443 }),
  "load a library": () => Deno.dlopen("/lib/x86_64-linux-gnu/libc.so.6", {}),
};

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

for (const [name, attempt] of Object.entries(tries)) {
  let outcome = "did it";
  try {
    await attempt();
  } catch (error) {
    outcome = error instanceof Error ? error.name : String(error);
  }
  say(`tried ${name}: ${outcome}`);
}
say("tried all");
await import("../../src/main.ts");
