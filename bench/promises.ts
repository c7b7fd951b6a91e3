// deno task bench promises [rounds]: measures the promises that must hold at any speed. Repeats a write and a
// read by another client, with two replicas behind Nginx; then ten thousand voters at once, sixteen mixed
// clients, and the latency of a vote with more than one Nginx.
import { say } from "$src/cli/run.ts";
import { ensureTools, type Stack, startStack } from "$src/cli/stack/mod.ts";
import { connect } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { freshnessTrial } from "../tests/freshness/trial.ts";
import { type Figure, report } from "./figures.ts";
import { herd } from "./herd.ts";
import { voteLatency } from "./latency.ts";
import { mixedClients } from "./mixed.ts";

const ROUNDS = 2000;
const VOTERS = 10_000;
const GOAL_SECONDS = 3;

export async function benchPromises([given]: string[]): Promise<void> {
  const rounds = given === undefined ? ROUNDS : Number(given);
  if (!Number.isInteger(rounds) || rounds < 100) {
    throw new AppError("invalid", `usage: deno task bench promises [rounds]: ${given}`);
  }
  await ensureTools(["wrk"], say);
  const figures = await onOneNginx(rounds);
  say("measuring votes with one, two, four and eight Nginx");
  figures.push(...await voteLatency());
  await report("promises", { rounds: String(rounds) }, figures);
}

async function onOneNginx(rounds: number): Promise<Figure[]> {
  await using stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" }, say });
  say(`measuring ${rounds} rounds of write and read`);
  const fresh = await freshness(stack, rounds);
  say("measuring sixteen mixed clients");
  const mixed = await mixedClients(stack);
  say(`measuring ${VOTERS} voters at once`);
  return [...fresh, ...mixed, ...await voters(stack)];
}

async function freshness(stack: Stack, rounds: number): Promise<Figure[]> {
  const { writes, stale, pending } = await freshnessTrial(stack, rounds);
  return [
    none(`stale, of ${writes} writes read elsewhere at once`, stale.length - pending),
    none("pending, of those", pending),
  ];
}

async function voters(stack: Stack): Promise<Figure[]> {
  const before = await counted(stack);
  const { seconds, taken } = await herd(stack, VOTERS);
  const after = await counted(stack);
  return [
    {
      name: `${VOTERS} votes at once, all answered`,
      unit: "s",
      ours: seconds,
      limit: { name: "allowed", value: GOAL_SECONDS },
      ratio: seconds / GOAL_SECONDS,
      most: 1,
    },
    none("of those refused", VOTERS - taken),
    none("of those not in the log", VOTERS - (after.cast - before.cast)),
    none("of those not counted once", VOTERS - (after.counted - before.counted)),
  ];
}

function none(name: string, count: number): Figure {
  const limit = { name: "allowed", value: 0 };
  return { name, unit: "", ours: count, limit, ratio: Math.abs(count), most: 0 };
}

async function counted({ databaseUrl }: Stack): Promise<{ cast: number; counted: number }> {
  const sql = connect(databaseUrl, { max: 1 });
  try {
    const [row] = await sql<{ cast: number; counted: number }[]>`
      select (select count(*) from events where type = 'VoteCast')::int as cast,
        (select voters from read.polls where id = 1)::int as counted`;
    return row ?? { cast: 0, counted: 0 };
  } finally {
    await sql.end({ timeout: 5 });
  }
}
