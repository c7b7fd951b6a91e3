// A process of the stack that fault tests can start, stop, kill and pause on its own.
import { AppError, reason } from "../../errors.ts";
import { type ProcessGroup, type Running, signalTree, type SpawnOptions } from "./process_group.ts";
import { waitFor } from "../../async/wait_for.ts";

export type ManagedProcessSpec = {
  name: string;
  port: number;
  argv: string[];
  phase: SpawnOptions["phase"];
  env?: Record<string, string>;
  cwd?: string;
  /** The signal that stops it; SIGTERM by default. */
  stopSignal?: string;
  /** Throws or returns false until the process is ready. */
  ready: () => Promise<boolean>;
};

const READY_WITHIN_MS = 30_000;

export class ManagedProcess {
  #running: Running | undefined;
  #isWanted = false;
  /** Called for each end that neither `stop` nor `kill` caused. */
  onEnd: ((status: Deno.CommandStatus) => void) | undefined;

  constructor(
    readonly keeper: ProcessGroup,
    readonly spec: ManagedProcessSpec,
    readonly changed: () => void,
  ) {}

  get name(): string {
    return this.spec.name;
  }

  get port(): number {
    return this.spec.port;
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.#running?.pid;
  }

  /** Whether it was started, and not stopped or killed since. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  async start(): Promise<void> {
    if (this.#running !== undefined) throw new AppError("conflict", `already runs: ${this.name}`);
    const running = this.keeper.spawn(this.name, this.spec.argv, { ...this.spec, output: "log" });
    this.#running = running;
    this.#isWanted = true;
    let code: number | undefined;
    running.ended.then((status) => {
      code = status.code;
      if (this.#running === running) this.#running = undefined;
      this.changed();
      if (this.#isWanted) this.onEnd?.(status);
    });
    this.changed();
    const isReady = async () => code !== undefined || await this.spec.ready();
    await waitFor(isReady, READY_WITHIN_MS, "it to be ready").catch((error) =>
      this.#fail(reason(error))
    );
    if (code !== undefined) this.#fail(`ended with code ${code}`);
  }

  #fail(why: string): never {
    const log = this.keeper.logTail(this.name);
    throw new AppError("unavailable", `${this.name} did not start: ${why}\n${log}`);
  }

  /** Sends the stop signal and waits for the end. */
  async stop(): Promise<void> {
    this.#isWanted = false;
    const running = this.#running;
    if (running === undefined) return;
    await this.signal(this.spec.stopSignal ?? "TERM");
    await running.ended;
  }

  /** Kills it and all of its children at once, as a power failure would. */
  async kill(): Promise<void> {
    this.#isWanted = false;
    const running = this.#running;
    if (running === undefined) return;
    await signalTree(running.pid, "KILL");
    await running.ended;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Freezes it with SIGSTOP: it keeps its connections and answers nothing until `resume`. */
  async pause(): Promise<void> {
    if (this.#running !== undefined) await signalTree(this.#running.pid, "STOP");
  }

  async resume(): Promise<void> {
    if (this.#running !== undefined) await signalTree(this.#running.pid, "CONT");
  }

  /** Signals the process, not its children. */
  async signal(signal: string): Promise<void> {
    const pid = this.#running?.pid;
    if (pid === undefined) return;
    const args = ["-c", 'kill -s "$1" "$2"', "sh", signal, String(pid)];
    await new Deno.Command("sh", { args, stderr: "null" }).output();
  }
}
