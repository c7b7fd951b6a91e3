// The latency of a vote with one, two, four and eight Nginx before the service: each must invalidate the
// poll's pages before the vote is answered. One stack for each, in turn, one voter at a time.
import { say } from "$src/cli/run.ts";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { AppError } from "$src/errors.ts";
import { Connection } from "./connection.ts";
import { cost } from "./cpu.ts";
import { type Figure, median } from "./figures.ts";
import { VOTE } from "./limits.ts";

const COUNTS = [1, 2, 4, 8];
const ROUNDS = 20;
const VOTES = 50;
const WARM_VOTES = 200;
const GOAL = 1.5;

type Measured = { nginxes: number; stack: Stack; ms: number[]; micros: number[] };

export async function voteLatency(): Promise<Figure[]> {
  await using stacks = new AsyncDisposableStack();
  const all: Measured[] = [];
  for (const nginxes of COUNTS) {
    const stack = stacks.use(await startStack({ nginxes, env: { RATE_LIMIT: "off" }, say }));
    await votesOn(stack, WARM_VOTES);
    all.push({ nginxes, stack, ms: [], micros: [] });
  }
  for (let round = 0; round < ROUNDS; round++) {
    // Each stack is first equally often, so that after-effects of one slow all of them alike.
    const first = round % all.length;
    for (const one of [...all.slice(first), ...all.slice(0, first)]) await measureRound(one);
  }
  return figuresOf(all);
}

async function measureRound({ stack, ms, micros }: Measured): Promise<void> {
  const spent = await cost({ app: stack.apps }, async () => {
    ms.push(...await votesOn(stack, VOTES));
    return VOTES;
  });
  micros.push(spent.app ?? 0);
}

/** Milliseconds of each vote, through the first Nginx; each voter is new. */
async function votesOn({ url }: Stack, votes: number): Promise<number[]> {
  using voter = await Connection.open(url);
  const ms: number[] = [];
  for (let n = 0; n < votes; n++) {
    const asked = performance.now();
    const status = await voter.ask({ method: "POST", path: "/polls/1/votes", body: VOTE });
    ms.push(performance.now() - asked);
    if (status !== 201) throw new AppError("unavailable", `a vote was answered ${status}`);
  }
  return ms;
}

function figuresOf(all: Measured[]): Figure[] {
  const [one, ...more] = all;
  if (one === undefined) return [];
  const last = more.at(-1);
  return [
    ...more.map((each) => ({
      ...besides("vote, median", "ms", { each, one, of: ({ ms }) => median(ms) }),
      ...(each === last ? { most: GOAL } : {}),
    })),
    ...more.map((each) => besides("the app's time a vote", "us", { each, one, of: meanMicros })),
  ];
}

function meanMicros({ micros }: Measured): number {
  return micros.reduce((sum, each) => sum + each, 0) / micros.length;
}

type Beside = { each: Measured; one: Measured; of: (measured: Measured) => number };

function besides(what: string, unit: string, { each, one, of }: Beside): Figure {
  const [ours, value] = [of(each), of(one)];
  const name = `${what}, with ${each.nginxes} Nginx`;
  return { name, unit, ours, limit: { name: "with one", value }, ratio: ours / value };
}
