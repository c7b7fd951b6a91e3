// Generates load with wrk; an answer that is not 2xx fails the measurement.
import { AppError } from "$src/errors.ts";
import { shell } from "$src/cli/stack/shell.ts";

export type Load = {
  url: string;
  connections: number;
  seconds: number;
  body?: string;
  /** The average pause of each connection before a request. */
  pauseMs?: number;
};

/** Answers per second. */
export async function requestsPerSecond({ url, connections, seconds, body, pauseMs }: Load) {
  await using script = await luaFor(scriptOf(body, pauseMs));
  const said = await shell(
    'wrk -t 2 -c "$1" -d "$2s" --timeout 10s -H "Accept: application/json" ${4:+-s "$4"} "$3"',
    ...[String(connections), String(seconds), url, script.path],
  );
  const failed = said.match(/Non-2xx.*|Socket errors.*/)?.[0];
  if (failed) throw new AppError("unavailable", `${url}: ${failed}`);
  return Number(said.match(/Requests\/sec:\s*([\d.]+)/)?.[1]);
}

function scriptOf(body: string | undefined, pauseMs = 0): string {
  const post = body === undefined ? "" : `wrk.method = "POST"
wrk.body = [[${body}]]
wrk.headers["Content-Type"] = "application/json"
`;
  return pauseMs === 0
    ? post
    : `${post}function delay() return math.random(0, ${pauseMs * 2}) end\n`;
}

async function luaFor(script: string) {
  if (script === "") return { path: "", async [Symbol.asyncDispose]() {} };
  const path = await Deno.makeTempFile({ prefix: "tallybook-", suffix: ".lua" });
  await Deno.writeTextFile(path, script);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path) };
}
