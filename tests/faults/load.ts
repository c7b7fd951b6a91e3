// Clients that write and retry as a careful client does, and readers beside them. Issued and acknowledged
// writes are recorded in the test's own process, which no fault touches.
import { random } from "./random.ts";

export type Kind = "vote" | "revote" | "sign" | "register" | "rename";

/** One write under one key, however often it is sent. */
export type Issued = {
  key: string;
  kind: Kind;
  tries: number;
  /** The position named in the response; undefined where no response of success came. */
  position?: number;
};

export type Load = {
  issued: Map<string, Issued>;
  /** Responses that no fault excuses, each with its request. */
  wrong: string[];
  statuses: Map<string, number>;
  slowestMs: number;
  readonly acknowledged: number;
  stop(): Promise<void>;
};

export type LoadOptions = { seed: number; clients?: number; readers?: number };

const GIVE_UP_MS = 30_000;
const READ = ["/", "/entries", "/polls", "/polls/1", "/results", "/users?limit=5", "/health/live"];
const OPTIONS = ["option_a", "option_b"];

type Client = { name: string; next: () => number; cookie?: string; voted?: string; user?: number };

export function startLoad(url: string, options: LoadOptions): Load {
  const { seed, clients = 64, readers = 8 } = options;
  const state = {
    issued: new Map<string, Issued>(),
    wrong: [] as string[],
    statuses: new Map<string, number>(),
    slowestMs: 0,
    stopped: false,
  };

  async function ask(path: string, init: RequestInit): Promise<Response | undefined> {
    const started = performance.now();
    const what = `${init.method ?? "GET"} ${path}`;
    try {
      const answer = await fetch(url + path, { ...init, signal: AbortSignal.timeout(20_000) });
      const body = await answer.text();
      note(what, answer, body);
      return new Response(body || null, answer);
    } catch (error) {
      state.wrong.push(`${what}: ${String(error)}`);
      return undefined;
    } finally {
      state.slowestMs = Math.max(state.slowestMs, performance.now() - started);
    }
  }

  function note(what: string, { status, headers }: Response, body: string): void {
    const name = `${init(what)} ${status}`;
    state.statuses.set(name, (state.statuses.get(name) ?? 0) + 1);
    if (status < 300) return;
    const type = headers.get("content-type") ?? "";
    const away = status === 503 && type.startsWith("application/problem+json") &&
      headers.has("retry-after");
    if (!away) state.wrong.push(`${what}: ${status} ${type} ${body.slice(0, 200)}`);
  }

  /** Sends one write until it is answered, each time under the same key. */
  async function insist(issued: Issued, send: () => Promise<Response | undefined>) {
    state.issued.set(issued.key, issued);
    const until = performance.now() + GIVE_UP_MS;
    while (performance.now() < until) {
      issued.tries++;
      const answer = await send();
      if (answer?.ok) {
        issued.position = Number(answer.headers.get("tallybook-position"));
        return answer;
      }
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  async function client(index: number): Promise<void> {
    const own: Client = { name: `${seed}-${index}`, next: random(seed * 1000 + index) };
    for (let n = 0; !state.stopped; n++) await step(own, `${own.name}-${n}-abcdefghijkl`);
  }

  async function step(own: Client, key: string): Promise<void> {
    const kind = kindOf(own);
    const issued: Issued = { key, kind, tries: 0 };
    const answer = await insist(issued, () => ask(...requestOf(kind, own, key)));
    if (kind === "vote" || kind === "revote") {
      // After an unknown outcome the client votes as a new voter: its change could otherwise be a no-op.
      const cookie = answer?.headers.get("set-cookie")?.split(";")[0] ?? own.cookie;
      own.cookie = answer === undefined ? undefined : cookie;
      own.voted = answer === undefined ? undefined : other(own.voted);
    }
    if (kind === "register" && answer) own.user = (await answer.json()).id;
    if (kind === "rename" && !answer) own.user = undefined;
  }

  async function reader(index: number): Promise<void> {
    const next = random(seed * 1000 + 500 + index);
    while (!state.stopped) {
      await ask(READ[Math.floor(next() * READ.length)] ?? "/", {
        headers: { accept: "application/json" },
      });
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  const running = [
    ...Array.from({ length: clients }, (_, i) => client(i)),
    ...Array.from({ length: readers }, (_, i) => reader(i)),
  ];
  return {
    issued: state.issued,
    wrong: state.wrong,
    statuses: state.statuses,
    get slowestMs() {
      return state.slowestMs;
    },
    get acknowledged() {
      let count = 0;
      for (const { position } of state.issued.values()) if (position !== undefined) count++;
      return count;
    },
    async stop() {
      state.stopped = true;
      await Promise.all(running);
    },
  };
}

function init(what: string): string {
  return what.split(" ")[0] ?? what;
}

function other(option: string | undefined): string {
  return OPTIONS.find((one) => one !== option) ?? "option_a";
}

function kindOf({ next, cookie, user }: Client): Kind {
  const dice = next();
  if (dice < 0.35) return "sign";
  if (dice < 0.6) return cookie === undefined ? "vote" : "revote";
  if (dice < 0.75) return "register";
  return user === undefined ? "register" : "rename";
}

function requestOf(kind: Kind, own: Client, key: string): [string, RequestInit] {
  const send = (method: string, path: string, body: unknown): [string, RequestInit] => [path, {
    method,
    headers: {
      "content-type": "application/json",
      accept: "application/json",
      "idempotency-key": key,
      // The log keeps the request id beside each event.
      "x-request-id": key,
      ...(own.cookie && kind === "revote" ? { cookie: own.cookie } : {}),
    },
    body: JSON.stringify(body),
  }];
  if (kind === "sign") return send("POST", "/sign", { name: own.name, message: key });
  if (kind === "register") {
    return send("POST", "/users", { name: own.name, email: `${key}@example.org` });
  }
  if (kind === "rename") return send("PUT", `/users/${own.user}`, { name: key });
  return send("POST", "/polls/1/votes", { option: other(own.voted) });
}
