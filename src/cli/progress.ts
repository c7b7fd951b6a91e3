// A progress bar on a terminal; prints nothing into a pipe.

export type Progress = { update(done: number, total?: number): void; finish(): void };

const WIDTH = 30;
const REDRAW_MS = 100;

export function progress(label: string, terminal = Deno.stderr.isTerminal()): Progress {
  if (!terminal) return { update() {}, finish() {} };
  const started = performance.now();
  let drawn = 0;
  const draw = (line: string) => Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${line}`));
  return {
    update(done, total) {
      const now = performance.now();
      if (now - drawn < REDRAW_MS && done !== total) return;
      drawn = now;
      draw(progressLine(label, { done, total, seconds: (now - started) / 1000 }));
    },
    finish() {
      if (drawn > 0) draw("");
    },
  };
}

type Facts = { done: number; total?: number; seconds: number };

export function progressLine(label: string, { done, total, seconds }: Facts): string {
  const rate = seconds > 0 ? done / seconds : 0;
  const speed = `${Math.round(rate).toLocaleString("en")}/s`;
  if (total === undefined) return `${label} ${done.toLocaleString("en")} ${speed}`;
  const part = total === 0 ? 1 : Math.min(1, done / total);
  const filled = Math.round(part * WIDTH);
  const bar = "█".repeat(filled) + "░".repeat(WIDTH - filled);
  const left = rate > 0 ? Math.ceil((total - done) / rate) : 0;
  return `${label} ${bar} ${Math.floor(part * 100)}% ${speed} ${left}s left`;
}
