// Trials that `deno task test:long` runs in their long form. Each reports when its file is loaded and when
// it ends, so that the table at the end of the run lists them all.
import { LONG } from "./rounds.ts";
import { report } from "./report.ts";

export type Trial = {
  name: string;
  seed?: number;
  figures: string[];
  outcome: "not run" | "passed" | "failed";
  seconds?: number;
};

export type Figure = (text: string) => void;

/** The body of an `it`: its figures are printed as they are measured, and once more in the table. */
export function trial(
  name: string,
  seed: number | undefined,
  work: (figure: Figure) => Promise<void>,
): () => Promise<void> {
  const figures: string[] = [];
  keep({ name, seed, figures, outcome: "not run" });
  return async () => {
    figures.length = 0;
    const started = performance.now();
    let outcome: Trial["outcome"] = "failed";
    try {
      await work((text) => {
        figures.push(text);
        report(`${name}: ${text}`);
      });
      outcome = "passed";
    } finally {
      const seconds = Math.round((performance.now() - started) / 1000);
      keep({ name, seed, figures, outcome, seconds });
    }
  };
}

function keep(trial: Trial): void {
  const path = Deno.env.get("TEST_TRIALS");
  if (!LONG || path === undefined) return;
  Deno.writeTextFileSync(path, `${JSON.stringify(trial)}\n`, { append: true });
}

/** The last report of each trial, in order of arrival. */
export function trialsIn(text: string): Trial[] {
  const found = new Map<string, Trial>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const trial: Trial = JSON.parse(line);
    const known = found.get(trial.name);
    // A file that is run again announces its trials once more.
    if (!known || trial.outcome !== "not run") found.set(trial.name, trial);
  }
  return [...found.values()];
}

export function trialTable(trials: Trial[]): string {
  const rows = trials.map(({ name, seed, figures, outcome, seconds }) => ({
    cells: [name, seed ?? "-", seconds === undefined ? "-" : `${seconds} s`, outcome].map(String),
    figures,
  }));
  const head = ["trial", "seed", "took", "outcome"];
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map(({ cells }) => cells[i]?.length ?? 0))
  );
  const line = (cells: string[], last: string) =>
    `${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}  ${last}`.trimEnd();
  const under = " ".repeat(widths.reduce((sum, width) => sum + width + 2, 0));
  return [
    line(head, "figures"),
    ...rows.flatMap(({ cells, figures: [first = "", ...more] }) => [
      line(cells, first),
      ...more.map((figure) => under + figure),
    ]),
  ].join("\n");
}
