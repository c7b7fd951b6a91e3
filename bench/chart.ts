// Draws the figures that have a goal, from the results of the benchmarks, as bench/results/chart.svg.
import type { Figure } from "./figures.ts";

const FOLDER = new URL("results/", import.meta.url);
const [WIDTH, ROW, TOP, LEFT, GOAL_AT, MOST] = [880, 26, 64, 400, 150, 2];

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #20242a; }
  .soft { fill: #5a616b; }
  .bar { fill: #0b6b62; }
  .missed { fill: #a3201d; }
  .goal { stroke: #5a616b; stroke-dasharray: 3 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8e6e1; }
    .soft { fill: #a7adb5; }
    .bar { fill: #74ccc0; }
    .missed { fill: #ff9d97; }
    .goal { stroke: #a7adb5; }
  }`;

type Kept = { at: string; machine: { cores: number; load: string }; figures: Figure[] };

export async function drawChart(names: string[]): Promise<void> {
  const kept = (await Promise.all(names.map(read))).flatMap((one) => one ?? []);
  const figures = kept.flatMap((one) => one.figures).filter(hasGoal);
  const loads = kept.map(({ machine }) => Number(machine.load.split(" ")[0]));
  const on = `${kept[0]?.machine.cores} shared cores, load ${Math.min(...loads)} to ` +
    `${Math.max(...loads)}, last measured ${kept.map(({ at }) => at.slice(0, 10)).sort().at(-1)}`;
  const height = TOP + figures.length * ROW + 12;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img"`,
    `  aria-label="Each measured ratio beside its goal"><style>${STYLE}</style>`,
    text(8, 20, "Each figure as a share of its goal"),
    text(8, 40, `deno task bench, on ${on}`, "soft"),
    text(LEFT + GOAL_AT, 56, "goal", "soft", "middle"),
    `<path class="goal" d="M${LEFT + GOAL_AT} 60V${height - 8}"/>`,
    ...figures.flatMap((figure, i) => row(figure, TOP + i * ROW)),
    "</svg>",
  ];
  await Deno.writeTextFile(new URL("chart.svg", FOLDER), `${lines.join("\n")}\n`);
}

async function read(name: string): Promise<Kept | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(new URL(`${name}.json`, FOLDER)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function hasGoal({ goal, most }: Figure): boolean {
  return goal !== undefined || most !== undefined;
}

function row({ name, ratio, ours, goal, most }: Figure, y: number): string[] {
  const reached = goal !== undefined ? ratio >= goal : ratio <= (most ?? 0);
  const share = ratio / (goal ?? most ?? 1);
  const told = most === 0
    ? `${ours.toLocaleString("en")}, allowed 0`
    : `${ratio.toFixed(2)}, goal ${goal !== undefined ? `≥ ${goal}` : `≤ ${most}`}`;
  const long = Math.min(Number.isFinite(share) ? share : 0, MOST) * GOAL_AT;
  const bar = `<rect class="${reached ? "bar" : "missed"}" x="${LEFT}" y="${y + 5}" ` +
    `width="${Math.max(2, long).toFixed(1)}" height="14" rx="2"/>`;
  return [
    text(LEFT - 10, y + 17, name, "", "end"),
    bar,
    text(LEFT + MOST * GOAL_AT + 12, y + 17, `${told}${reached ? "" : ": missed"}`),
  ];
}

function text(x: number, y: number, said: string, kind = "", anchor = "start"): string {
  const safe = said.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" class="${kind}" text-anchor="${anchor}">${safe}</text>`;
}
