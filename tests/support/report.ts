// What a trial measured, for whoever reads the output of the run.
export function report(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
