// `deno task test [words...] [--filter NAME]`: installs missing tools, starts throw-away servers, runs the
// test files whose path contains one of the words (all without words), and counts.
import { reason } from "$src/errors.ts";
import {
  ensureTools,
  type Servers,
  signalTree,
  startServers,
  type Tool,
} from "$src/cli/stack/mod.ts";
import { askedToStop } from "$src/cli/stack/signals.ts";
import { findGroups, type Group } from "./support/groups.ts";
import { count, type Counts, parseJUnit } from "./support/junit.ts";
import { trialsIn, trialTable } from "./support/trial.ts";

const TEMP = Deno.env.get("TMPDIR") ?? "/tmp";

const PERMISSIONS = [
  "--no-prompt",
  // Not by name: the embedded database uses a socket of its own, whose path is chosen at start.
  "--allow-net",
  "--allow-env",
  "--allow-sys",
  "--allow-read",
  `--allow-write=${TEMP}`,
  "--allow-run",
];

const GROUP_WITHIN_MS = 20 * 60_000;

type Result = Counts & { skippedGroups: string[] };

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}

/** Paths and words choose files; `--filter NAME` goes to `deno test`. */
function parse(args: string[]): { words: string[]; filter: string[] } {
  const at = args.findIndex((arg) => arg.startsWith("--filter"));
  if (at < 0) return { words: args, filter: [] };
  const length = args[at] === "--filter" ? 2 : 1;
  return { words: args.toSpliced(at, length), filter: args.slice(at, at + length) };
}

async function runAll(groups: Group[], servers: Servers, filter: string[]): Promise<Result> {
  const result: Result = { passed: [], failed: [], skipped: [], skippedGroups: [] };
  for (const group of groups) {
    if (group.skipped !== undefined) {
      result.skippedGroups.push(`${group.files.join(", ")}: ${group.skipped}`);
      continue;
    }
    const { passed, failed, skipped } = await runGroup(group, servers, filter);
    result.passed.push(...passed);
    result.failed.push(...failed);
    result.skipped.push(...skipped);
  }
  return result;
}

async function runGroup(group: Group, servers: Servers, filter: string[]): Promise<Counts> {
  const report = `${servers.dir}/junit.xml`;
  // Playwright reads /proc as it loads, which Deno allows only with all permissions.
  const permissions = group.name.startsWith("browser")
    ? ["--no-prompt", "--allow-all"]
    : PERMISSIONS;
  const flags = ["test", `--junit-path=${report}`, ...permissions, ...filter];
  if (group.name === "fast") flags.push("--parallel");
  const env = {
    TEST_OWNER_DATABASE_URL: servers.ownerDatabaseUrl,
    TEST_REDIS_URL: servers.redisUrl,
    TEST_SERVERS: `${servers.dir}/stack.json`,
    TEST_TRIALS: `${servers.dir}/trials.ndjson`,
  };
  const argv = [Deno.execPath(), ...flags, ...group.files];
  const run = servers.keeper.spawn("tests", argv, { phase: "command", env, output: "inherit" });
  const late = setTimeout(() => signalTree(run.pid, "KILL"), GROUP_WITHIN_MS);
  const { success } = await run.ended;
  clearTimeout(late);
  const counts = await readCounts(report, filter.length > 0 ? [] : group.files);
  if (!success && counts.failed.length === 0) counts.failed.push(`${group.files}: run failed`);
  return counts;
}

/** A file that is missing from the report could not be loaded, or has no test: failed. */
async function readCounts(report: string, files: string[]): Promise<Counts> {
  const cases = parseJUnit(await Deno.readTextFile(report).catch(() => ""));
  await Deno.remove(report).catch(() => {});
  const counts = count(cases);
  const silent = files.filter((path) => !cases.some(({ file }) => file.endsWith(path)));
  counts.failed.push(...silent.map((file) => `${file}: no test in it was run`));
  return counts;
}

/** Every long trial of this run in one table; one that did not finish is a failure. */
async function showTrials(path: string, result: Result): Promise<void> {
  const trials = trialsIn(await Deno.readTextFile(path).catch(() => ""));
  if (trials.length === 0) return;
  say(`\n${trialTable(trials)}`);
  const left = trials.filter(({ outcome }) => outcome === "not run");
  result.failed.push(...left.map(({ name }) => `long trial not run: ${name}`));
}

/** The last lines; true if all is well. In CI a skipped test is refused. */
function summarise({ passed, failed, skipped, skippedGroups }: Result): boolean {
  const inCi = Deno.env.get("CI") === "true";
  say("");
  for (const name of failed) say(`failed: ${name}`);
  for (const name of skipped) say(`skipped${inCi ? " (refused in CI)" : ""}: ${name}`);
  for (const group of skippedGroups) say(`skipped group: ${group}`);
  const left = skipped.length + skippedGroups.length;
  const tail = left > 0 ? `, ${left} skipped` : "";
  say(`${passed.length} passed, ${failed.length} failed${tail}`);
  return failed.length === 0 && passed.length > 0 && !(inCi && skipped.length > 0);
}

async function main(): Promise<number> {
  const stopped = askedToStop();
  const { words, filter } = parse(Deno.args);
  const groups = await findGroups(words);
  if (groups.length === 0) throw new Error(`no test file's path contains: ${words.join(", ")}`);
  const tools = new Set<Tool>(groups.flatMap((group) => group.tools));
  await ensureTools([...tools], say);
  await using servers = await startServers();
  const trials = `${servers.dir}/trials.ndjson`;
  const run = runAll(groups, servers, filter).then(async (result) => {
    await showTrials(trials, result);
    return summarise(result) ? 0 : 1;
  });
  return await Promise.race([stopped, run]);
}

if (import.meta.main) {
  const code = await main().catch((error) => {
    say(`test: ${reason(error)}\n0 passed, 1 failed`);
    return 1;
  });
  Deno.exit(code);
}
