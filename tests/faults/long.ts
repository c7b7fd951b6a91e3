// `deno task test:long` runs the long forms; the suite runs the short ones.
export { LONG } from "../support/rounds.ts";
export { report as say } from "../support/report.ts";

export const seed = Number(Deno.env.get("TEST_SEED") ?? Date.now() % 1_000_000);
