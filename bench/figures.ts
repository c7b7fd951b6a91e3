// Common to all benchmarks: measures the service and its limit alternately, takes medians, reports a table
// and JSON.
import { print } from "$src/cli/run.ts";

export type Figure = {
  name: string;
  unit: string;
  ours: number;
  limit: { name: string; value: number };
  ratio: number;
  /** The ratio must be at least `goal`, or at most `most`. */
  goal?: number;
  most?: number;
};

export type Pair = {
  name: string;
  unit: string;
  goal?: number;
  rounds?: number;
  /** Number of alternations in a round. */
  turns?: number;
  /** This and `limit.measure` return a rate. */
  ours: () => Promise<number>;
  limit: { name: string; measure: () => Promise<number> };
};

const ROUNDS = 3;
const GOAL_MB = 200;

/**
 * Alternates, so that a slow minute of the machine slows both. The ratio is the median of the rounds'
 * ratios: other load differs less between two neighbouring measurements than between medians of all rounds.
 */
export async function measure(
  { name, unit, goal, rounds = ROUNDS, turns = 1, ours, limit }: Pair,
): Promise<Figure> {
  const rates = { limit: [] as number[], ours: [] as number[], ratio: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    let [most, own] = [0, 0];
    for (let turn = 0; turn < turns; turn++) {
      most += await limit.measure() / turns;
      own += await ours() / turns;
    }
    rates.limit.push(most);
    rates.ours.push(own);
    rates.ratio.push(own / most);
  }
  return {
    name,
    unit,
    goal,
    ours: median(rates.ours),
    limit: { name: limit.name, value: median(rates.limit) },
    ratio: median(rates.ratio),
  };
}

export async function rateOf(work: () => Promise<number>): Promise<number> {
  const started = performance.now();
  const done = await work();
  return done / ((performance.now() - started) / 1000);
}

/** The memory goal of the design, section 9, for the app under load and for a replay. */
export function memoryFigure(name: string, megabytes: number): Figure {
  const limit = { name: "allowed", value: GOAL_MB };
  return { name, unit: "MB", ours: megabytes, limit, ratio: megabytes / GOAL_MB, most: 1 };
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

export async function report(
  bench: string,
  about: Record<string, string>,
  figures: Figure[],
): Promise<void> {
  const rows = [
    ["figure", "ours", "limit", "", "ratio", "goal"],
    ...figures.map(({ name, unit, ours, limit, ratio, goal, most }) => [
      name,
      `${shown(ours)} ${unit}`,
      shown(limit.value),
      limit.name,
      ratio.toFixed(2),
      goal !== undefined ? `>= ${goal}` : most === undefined ? "" : `<= ${most}`,
    ]),
  ];
  await print(`${table(rows)}\n`);
  const folder = new URL("results/", import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  // The load shows how far to trust a ratio: it changes when more processes are runnable than cores exist.
  const load = Deno.loadavg().map((average) => average.toFixed(1)).join(" ");
  const machine = { load, deno: Deno.version.deno, cores: navigator.hardwareConcurrency, ...about };
  const kept = { bench, at: new Date().toISOString(), machine, rounds: ROUNDS, figures };
  await Deno.writeTextFile(new URL(`${bench}.json`, folder), `${JSON.stringify(kept, null, 2)}\n`);
}

function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd())
    .join("\n");
}

function shown(value: number): string {
  const digits = value < 100 && !Number.isInteger(value) ? 1 : 0;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
