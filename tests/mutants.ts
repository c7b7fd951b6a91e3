// `deno task test:mutants [words...]`: removes each guard in turn, in a copy of this project, runs the
// tests that should detect it, and prints which turned red. A guard that no test misses is a failure.
import { shell } from "$src/cli/stack/shell.ts";
import { type Mutant, mutants } from "./mutants/list.ts";

const root = new URL("..", import.meta.url).pathname;

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** The files that git tracks or would track: no data, no logs. */
async function copyProject(): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "tallybook-mutants-" });
  const copy = 'cd "$1" && git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$2"';
  await shell(copy, root, dir);
  return dir;
}

type Verdict = { mutant: Mutant; red: string[] };

async function run(dir: string, mutant: Mutant): Promise<Verdict> {
  const path = `${dir}/${mutant.file}`;
  const text = await Deno.readTextFile(path);
  const places = text.split(mutant.guard).length - 1;
  if (places !== 1) throw new Error(`${mutant.name}: its text is there ${places} times in ${path}`);
  try {
    // A function, because `$` means something in a replacement text.
    await Deno.writeTextFile(path, text.replace(mutant.guard, () => mutant.without));
    return { mutant, red: await redTests(dir, mutant.tests) };
  } finally {
    await Deno.writeTextFile(path, text);
  }
}

async function redTests(dir: string, tests: string[]): Promise<string[]> {
  const script = 'cd "$1" && shift && "$@" 2>&1; true';
  const out = await shell(script, dir, Deno.execPath(), "task", "test", ...tests);
  const red = [...out.matchAll(/^failed: (.*)$/gm)].map(([, name = ""]) => name);
  // A mutant that does not compile or load proves nothing.
  const broken = red.find((name) => /no test in it was run|run failed/.test(name));
  if (broken) throw new Error(`the mutant broke the run: ${broken}\n${out.slice(-2000)}`);
  return red;
}

async function main(words: string[]): Promise<number> {
  const chosen = mutants.filter(({ name }) =>
    words.length === 0 || words.some((word) => name.includes(word))
  );
  const dir = await copyProject();
  let bad = 0;
  try {
    for (const mutant of chosen) {
      const started = performance.now();
      let outcome: string;
      try {
        const { red } = await run(dir, mutant);
        if (red.length === 0) bad++;
        outcome = red.length === 0 ? "STILL GREEN" : `red: ${red.join("; ").slice(0, 300)}`;
      } catch (error) {
        bad++;
        outcome = `NOT TRIED: ${error instanceof Error ? error.message : String(error)}`;
      }
      const seconds = Math.round((performance.now() - started) / 1000);
      say(`without ${mutant.name} (${seconds} s): ${outcome}`);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  say(`${chosen.length - bad} of ${chosen.length} guards are missed by a test when they are gone`);
  return bad === 0 && chosen.length > 0 ? 0 : 1;
}

Deno.exit(await main(Deno.args));
