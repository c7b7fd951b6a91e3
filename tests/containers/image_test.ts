// The image: built by the legacy builder and by BuildKit, gated by its tests, and holding only what runs.
import { assert, assertEquals, assertLess, assertMatch, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { waitFor } from "../support/until.ts";
import {
  inspect,
  localCertificates,
  must,
  type Output,
  report,
  ROOT,
  run,
  sign,
  System,
  total,
} from "./system.ts";

const TAG = "tallybook-test-image";
const COPIED =
  "Dockerfile .dockerignore CONTRIBUTING.md docs compose.yaml nginx.conf deno.json deno.lock src events " +
  "projections migrations tests";
const GOAL_FIRST_ENTRY_S = 60;
const GOAL_START_MS = 2000;
const hasBuildKit = (await run(["docker", "buildx", "version"])).code === 0;

async function build(cwd: string, buildkit = false): Promise<Output & { seconds: number }> {
  const env = {
    DOCKER_BUILDKIT: buildkit ? "1" : "0",
    EXTRA_CA: Deno.env.get("EXTRA_CA") ?? await localCertificates(),
  };
  const started = performance.now();
  // The legacy builder keeps the container of a failed step, unless told not to.
  const flags = [...(buildkit ? [] : ["--force-rm"]), "--build-arg", "EXTRA_CA", "-t", TAG];
  const done = await run(["docker", "build", ...flags, "."], { cwd, env });
  return { ...done, seconds: (performance.now() - started) / 1000 };
}

describe("the image", () => {
  let copy: string;
  before(async () => {
    copy = await Deno.makeTempDir({ prefix: "tallybook-image-" });
    await must(["cp", "-r", ...COPIED.split(" "), copy], { cwd: ROOT });
    const { code, text, errors } = await build(copy);
    assertEquals(code, 0, text + errors);
  });
  after(async () => {
    await run(["docker", "rmi", "-f", TAG]);
    await Deno.remove(copy, { recursive: true });
  });

  const inside = async (script: string) =>
    await must(["docker", "run", "--rm", "--network", "none", TAG, "sh", "-c", script]);

  it("fetches nothing again when only the source changed", async () => {
    const path = `${copy}/src/log.ts`;
    await Deno.writeTextFile(path, `${await Deno.readTextFile(path)}\n// Another line.\n`);
    const { code, text, errors, seconds } = await build(copy);
    assertEquals(code, 0, text + errors);
    assertMatch(text, /Using cache[\s\S]*COPY \. \./);
    assertEquals(/Download/.test(text + errors), false);
    report(`image rebuilt in ${seconds.toFixed(0)} s after a change of source, its tests included`);
  });

  it("is not built when a test fails", async () => {
    const path = `${copy}/tests/support/junit_test.ts`;
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, text.replace('failed: ["a > b > d"]', 'failed: ["nothing"]'));
    const broken = await build(copy);
    await Deno.writeTextFile(path, text);
    assertNotEquals(broken.code, 0);
    assertMatch(broken.text + broken.errors, /task test:pure/);
  });

  it("is not built when the code does not check", async () => {
    await Deno.writeTextFile(`${copy}/src/wrong.ts`, 'export const wrong: number = "text";\n');
    const broken = await build(copy);
    await Deno.remove(`${copy}/src/wrong.ts`);
    assertNotEquals(broken.code, 0);
    assertMatch(broken.text + broken.errors, /TS2322/);
  });

  it("needs the test stage, as the last stage takes its files from there", async () => {
    const text = await Deno.readTextFile(`${ROOT}/Dockerfile`);
    const stages = text.split(/^FROM /m).slice(1);
    const last = stages.at(-1) ?? "";
    assertEquals(stages.length, 4);
    assertMatch(last, /COPY --from=test \/tested \.\//);
    assertEquals(/COPY (?!--from)|ADD|--mount|<</.test(last), false);
  });

  // The legacy builder cannot skip a stage, so a skipped test stage would show here.
  if (hasBuildKit) {
    it("builds under BuildKit as well, and stops at a failing test there too", async () => {
      assertEquals((await build(copy, true)).code, 0);
      await Deno.writeTextFile(`${copy}/src/wrong.ts`, 'export const wrong: number = "text";\n');
      assertNotEquals((await build(copy, true)).code, 0);
      await Deno.remove(`${copy}/src/wrong.ts`);
    });
  } else {
    report("BuildKit is not installed here: the image is built by the legacy builder alone");
  }

  it("holds what runs, and neither tests nor their tools", async () => {
    assertEquals(
      (await inside("ls -A /app")).split(/\s+/),
      ["backups", "data", "deno.json", "deno.lock", "events", "migrations", "projections", "src"],
    );
    const strangers =
      "find / -xdev \\( -name '*_test.ts' -o -name 'playwright*' -o -name axe-core " +
      "-o -name fast-check -o -name pglite \\) 2>/dev/null | head";
    assertEquals(await inside(`${strangers}; command -v gcc cc make g++ || true`), "");
    const all = Number(await inspect(TAG, "{{.Size}}"));
    const base = Number(await inspect("denoland/deno:2.9.6", "{{.Size}}"));
    const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
    report(`image ${mb(all)}, of which Deno's own image ${mb(base)} and ours ${mb(all - base)}`);
    assertLess(all - base, 60e6);
  });

  it("runs as a user other than root, and can change none of its own files", async () => {
    assertEquals(await inside("id -un"), "deno");
    assertEquals(
      await inside("find /app /deno-dir -writable ! -path '/app/backups' ! -path /app/data | head"),
      "",
    );
  });

  it("starts without a network to fetch anything from", async () => {
    const url = "-e DATABASE_URL=postgres://x:y@127.0.0.1:1/x";
    const script = `timeout 5 sh src/cli/deploy/run.sh src/main.ts 2>&1; true`;
    const said = await must([
      "docker",
      "run",
      "--rm",
      "--network",
      "none",
      "--read-only",
      ...url.split(" "),
      "-e",
      "SIGNING_KEY=none",
      TAG,
      "sh",
      "-c",
      script,
    ]);
    assertMatch(said, /waiting for the database/);
    assertEquals(/Download|not found in cache/.test(said), false, said);
  });
});

/** CPU time, as wall time depends on others who use this machine. */
function busy(): number {
  return Math.max(1, (Deno.loadavg()[0] ?? 0) / navigator.hardwareConcurrency);
}

/** The CPU time used so far by the service and the shell whose place it took. */
async function processorMs(id: string): Promise<number> {
  const find =
    "for p in /proc/[0-9]*; do grep -aq ^deno $p/cmdline && cat $p/stat; done | head -n 1";
  const stat = await must(["docker", "exec", id, "sh", "-c", find]);
  const ticks = stat.replace(/^.*\) /, "").split(" ").slice(11, 15).map(Number);
  return ticks.reduce((sum, tick) => sum + tick, 0) * 10;
}

describe("the first start", () => {
  let system: System;
  after(() => system[Symbol.asyncDispose]());

  it("takes a clean machine to the first signed entry in a minute", async () => {
    system = await System.prepare();
    const started = performance.now();
    await system.compose("up", "--build", "-d");
    const answer = await waitFor(
      async () => {
        const tried = await sign(system.url, "the first");
        return tried.status === 201 ? tried : undefined;
      },
      60_000,
      "the first entry",
    );
    await answer.body?.cancel();
    const seconds = (performance.now() - started) / 1000;
    report(`from up to the first signed entry: ${seconds.toFixed(1)} s`);
    assertLess(seconds, GOAL_FIRST_ENTRY_S * busy());
  });

  it("serves from Nginx' cache, counts those views as well, and shows a write at once", async () => {
    const look = () => fetch(system.url, { headers: { accept: "application/json" } });
    const visits = async () => (await (await fetch(`${system.url}/visits`)).json()).visits;
    await waitFor(
      async () => {
        const answer = await look();
        await answer.body?.cancel();
        return answer.headers.get("x-cache-status") === "HIT";
      },
      10_000,
      "an answer from the cache",
    );
    const before = await visits();
    const shown: string[] = [];
    for (let n = 0; n < 5; n++) {
      await (await sign(system.url, `number ${n}`)).body?.cancel();
      shown.push((await (await look()).json()).entries[0].message);
    }
    assertEquals(shown, ["number 0", "number 1", "number 2", "number 3", "number 4"]);
    await waitFor(async () => await visits() >= before + 5, 10_000, "the views to be counted");
  });

  it("has the app answer within 2 seconds of its container's start", async () => {
    const { id } = await system.container("app");
    await must(["docker", "restart", "-t", "20", id]);
    const opened = await waitFor(
      async () => {
        const since = await inspect(id, "{{.State.StartedAt}}");
        const text = await must(["docker", "logs", "--timestamps", "--since", since, id]);
        const line = text.split("\n").find((each) => each.includes("Tallybook is open"));
        return line ? { since, at: line.split(" ")[0] ?? "" } : undefined;
      },
      20_000,
      "the app to be open",
    );
    const ms = Date.parse(opened.at) - Date.parse(opened.since);
    const processor = await processorMs(id);
    report(
      `the app was open ${ms} ms after its container started, ${processor} ms of them at work`,
    );
    assertLess(processor, GOAL_START_MS);
    assertLess(ms, GOAL_START_MS * busy());
  });

  it("finishes open requests when it is stopped, and then ends at once", async () => {
    const { id } = await system.container("app");
    await system.answers();
    const before = await total(system.url);
    const writes = Array.from({ length: 40 }, (_, n) => sign(system.url, `held ${n}`));
    const stopped = performance.now();
    const [answers] = await Promise.all([
      Promise.all(writes.map((write) =>
        write.then(async (answer) => {
          await answer.body?.cancel();
          return { status: answer.status, visible: answer.headers.get("tallybook-visible") };
        })
      )),
      must(["docker", "stop", "-t", "20", id]),
    ]);
    const ms = performance.now() - stopped;
    assertEquals(await inspect(id, "{{.State.ExitCode}}"), "0");
    assertLess(ms, 8000);
    // 503: the request arrived after the app stopped accepting, and nothing of it was begun.
    assert(
      answers.every(({ status }) => status === 201 || status === 503),
      answers.map(({ status }) => status).join(" "),
    );
    await must(["docker", "start", id]);
    await system.answers();
    const kept = before + answers.filter(({ status }) => status === 201).length;
    // The last writes may have been answered as pending for as long as a cached copy lives.
    const pending = answers.filter(({ visible }) => visible === "pending").length;
    report(`${kept - before} written while it stopped in ${Math.round(ms)} ms, ${pending} pending`);
    if (pending === 0) assertEquals(await total(system.url), kept);
    else await waitFor(async () => await total(system.url) === kept, 5000, `${kept} entries`);
  });
});
