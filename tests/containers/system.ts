// A system of containers for one test file: its own project name, ports and volumes, removed after it.
import { freePort } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";

export const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
const IMAGE = "tallybook-test";
const LOCAL_CERTIFICATES = "/usr/local/share/ca-certificates";

export type Output = { code: number; text: string; errors: string };
export type RunOptions = { env?: Record<string, string>; cwd?: string; stdin?: string };

/** Runs a program to its end. */
export async function run(argv: string[], options: RunOptions = {}): Promise<Output> {
  const [program = "", ...args] = argv;
  const { env, cwd = ROOT, stdin } = options;
  const child = new Deno.Command(program, {
    args,
    env,
    cwd,
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin)).catch(() => {});
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  return { code, text: text.decode(stdout).trim(), errors: text.decode(stderr).trim() };
}

/** Runs a program that must succeed. */
export async function must(argv: string[], options: RunOptions = {}): Promise<string> {
  const { code, text, errors } = await run(argv, options);
  if (code !== 0) throw new Error(`${argv.join(" ")}: code ${code}\n${text}\n${errors}`);
  return text;
}

/** The builder trusts a proxy between this machine and the registry, as the machine does. */
export async function localCertificates(): Promise<string> {
  const texts: string[] = [];
  try {
    for await (const { name } of Deno.readDir(LOCAL_CERTIFICATES)) {
      if (name.endsWith(".crt")) {
        texts.push(await Deno.readTextFile(`${LOCAL_CERTIFICATES}/${name}`));
      }
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return texts.join("\n");
}

async function composeProgram(): Promise<string[]> {
  const { code } = await run(["docker", "compose", "version"]);
  return code === 0 ? ["docker", "compose"] : ["docker-compose"];
}

export type SystemOptions = {
  files?: string[];
  env?: Record<string, string>;
  /** The folder of the compose files; this project by default. */
  cwd?: string;
};

export type Container = { id: string; service: string; name: string; state: string };

export class System implements AsyncDisposable {
  private constructor(
    readonly port: number,
    readonly env: Record<string, string>,
    readonly program: string[],
    public cwd: string,
  ) {}

  static async prepare(options: SystemOptions = {}): Promise<System> {
    const port = freePort();
    const project = `tallybook-test-${crypto.randomUUID().slice(0, 8)}`;
    const env = {
      COMPOSE_PROJECT_NAME: project,
      COMPOSE_FILE: (options.files ?? ["compose.yaml"]).join(":"),
      TALLYBOOK_IMAGE: IMAGE,
      PUBLIC_PORT: String(port),
      EXTRA_CA: Deno.env.get("EXTRA_CA") ?? await localCertificates(),
      RATE_LIMIT: "off",
      DOCKER_BUILDKIT: "0",
      COMPOSE_DOCKER_CLI_BUILD: "0",
      ...options.env,
    };
    return new System(port, env, await composeProgram(), options.cwd ?? ROOT);
  }

  static async up(options: SystemOptions = {}): Promise<System> {
    const system = await System.prepare(options);
    try {
      await system.build();
      await system.up();
      return system;
    } catch (error) {
      report(await system.logs());
      await system[Symbol.asyncDispose]();
      throw error;
    }
  }

  get project(): string {
    return this.env.COMPOSE_PROJECT_NAME ?? "";
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async tryCompose(...args: string[]): Promise<Output> {
    return await run([...this.program, ...args], { env: this.env, cwd: this.cwd });
  }

  async compose(...args: string[]): Promise<string> {
    return await must([...this.program, ...args], { env: this.env, cwd: this.cwd });
  }

  async build(): Promise<void> {
    await this.compose("build", "app", "nginx");
  }

  async up(...args: string[]): Promise<void> {
    await this.compose("up", "-d", ...args);
    await this.answers();
  }

  async answers(): Promise<void> {
    await waitFor(() => this.healthy(), 60_000, "the system to be healthy");
  }

  async healthy(): Promise<boolean> {
    const answer = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(2000) });
    const { status } = await answer.json();
    return status === "healthy";
  }

  async exec(service: string, ...argv: string[]): Promise<Output> {
    return await this.tryCompose("exec", "-T", service, ...argv);
  }

  async logs(): Promise<string> {
    const { text, errors } = await this.tryCompose("logs", "--no-color", "--tail", "40");
    return `${text}\n${errors}`;
  }

  /** All containers of the system, ended ones too. */
  async containers(service?: string): Promise<Container[]> {
    const format = '{{.ID}}\t{{.Label "com.docker.compose.service"}}\t{{.Names}}\t{{.State}}';
    const filter = `label=com.docker.compose.project=${this.project}`;
    const text = await must(["docker", "ps", "-a", "--filter", filter, "--format", format]);
    return text.split("\n").filter((line) => line !== "").map((line) => {
      const [id = "", of = "", name = "", state = ""] = line.split("\t");
      return { id, service: of, name, state };
    }).filter((container) => service === undefined || container.service === service);
  }

  async container(service: string): Promise<Container> {
    const [found] = await this.containers(service);
    if (!found) throw new Error(`no container of ${service}`);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tryCompose("down", "-v", "--remove-orphans", "-t", "5");
  }
}

/** One field of what the engine knows of a container, a network or an image. */
export async function inspect(id: string, format: string): Promise<string> {
  return await must(["docker", "inspect", "--format", format, id]);
}

/** Kills as a crash does: the engine does not restart what was stopped by its own command. */
export async function crash(id: string): Promise<void> {
  const pid = await inspect(id, "{{.State.Pid}}");
  const kill = ["--entrypoint", "sh", "denoland/deno:2.9.6", "-c", `kill -9 ${pid}`];
  await must(["docker", "run", "--rm", "--pid=host", "--user=0", ...kill]);
}

export async function sign(
  url: string,
  message: string,
  init: RequestInit = {},
): Promise<Response> {
  return await fetch(`${url}/sign`, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ name: "Ada", message }),
    signal: AbortSignal.timeout(20_000),
    ...init,
  });
}

export async function total(url: string): Promise<number> {
  const answer = await fetch(url, { headers: { accept: "application/json" } });
  const body = await answer.json();
  return body.total;
}

/** Prints figures of a run. */
export function report(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`    ${line}\n`));
}
