// The service with a clock that a signal sets back by an hour, as an operator or a virtual machine may.
const HOUR_MS = 3_600_000;
const TrueDate = globalThis.Date;
let behind = 0;

class LateDate extends TrueDate {
  constructor(...given: unknown[]) {
    super(...(given.length === 0 ? [TrueDate.now() - behind] : given) as [number]);
  }
  static override now(): number {
    return TrueDate.now() - behind;
  }
}

Deno.addSignalListener("SIGUSR2", () => {
  behind = HOUR_MS;
  Deno.stdout.writeSync(new TextEncoder().encode("the clock is an hour back\n"));
});
Object.defineProperty(globalThis, "Date", { value: LateDate, writable: true, configurable: true });
await import("../../src/main.ts");
