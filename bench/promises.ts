// deno task bench promises [rounds]: what must hold whatever the speed. Write and read from elsewhere,
// over and over, with two replicas behind Nginx; then ten thousand voters at once.
import { say } from "$src/cli/run.ts";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { connect } from "$src/connections/postgres.ts";
import { AppError } from "$src/errors.ts";
import { freshnessTrial } from "../tests/freshness/trial.ts";
import { readLog } from "../tests/support/access_log.ts";
import { type Figure, report } from "./figures.ts";
import { herd } from "./herd.ts";

const ROUNDS = 2000;
const VOTERS = 10_000;
const GOAL_SECONDS = 3;
const GOAL_HITS = 0.95;

export async function benchPromises([given]: string[]): Promise<void> {
  const rounds = given === undefined ? ROUNDS : Number(given);
  if (!Number.isInteger(rounds) || rounds < 100) {
    throw new AppError("invalid", `usage: deno task bench promises [rounds]: ${given}`);
  }
  await using stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" }, say });
  say(`measuring ${rounds} rounds of write and read`);
  const fresh = await freshness(stack, rounds);
  say(`measuring ${VOTERS} voters at once`);
  await report("promises", { rounds: String(rounds) }, [...fresh, ...await voters(stack)]);
}

async function freshness(stack: Stack, rounds: number): Promise<Figure[]> {
  const trial = await freshnessTrial(stack, rounds);
  const reads = (await readLog(stack.accessLog)).filter(({ method, refresh }) =>
    method === "GET" && refresh === ""
  );
  const hits = reads.filter(({ cache }) => cache === "HIT").length / reads.length;
  return [
    none(`stale or pending, of ${trial.writes} writes read elsewhere at once`, trial.stale.length),
    {
      name: "Nginx hit rate meanwhile, at 95 reads to 5 writes",
      unit: "of reads",
      ours: hits,
      limit: { name: "all", value: 1 },
      ratio: hits,
      goal: GOAL_HITS,
    },
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
