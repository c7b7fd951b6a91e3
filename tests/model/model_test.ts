// The freshness protocol of both caches, searched by spin through every order of its steps; and, for each
// guard, the protocol without it, in which spin must find a stale read. The steps are in freshness.pml.
import { assert, assertEquals } from "@std/assert";
import { after, describe, it } from "@std/testing/bdd";
import { shell } from "$src/cli/stack/shell.ts";

type Search = { name: string; defines: string[] };

const MODEL = new URL("freshness.pml", import.meta.url).pathname;
// The deepest search takes about a hundred steps. If it were cut off, pan would say so.
const SEARCH = `set -e
cd "$1"
model=$2
shift 2
spin -a "$@" "$model" >spin.out
gcc -O1 -w -DSAFETY -DCOLLAPSE -o pan pan.c
./pan -m10000`;
const AT_ONCE = 2;

// Two features that share state are in one search together, with one writer where two would take
// minutes:
// - the watermark: LEADER with CUT, LEASE, CRASH, STOPS, RESTART;
// - the lease, generations and floors: LEASE with CRASH, FLUSH, STOPS, JOIN, FINE, CUT;
// - the mark: CUT with CRASH, RESTART, LEASE;
// - versions and files: RESTART with CUT and CRASH. LEASE and FLUSH do not touch them.
// JOIN is the memory of one replica and shares only Redis with other features: LEASE stands for them.
// (JOIN with FLUSH, one writer, two readers: 9,840,537 states, no error, too long for each run.)
// RESTORE stops the replicas, and with them what the other features are about.
const CORRECT: Search[] = [
  { name: "two slow readers, two writers", defines: ["READERS=2", "FINE", "COUNTED"] },
  { name: "a leader that catches up", defines: ["LEADER", "READERS=2"] },
  {
    name: "a committer that stops and a lease that ends",
    defines: ["LEADER", "LEASE", "STOPS", "FINE"],
  },
  { name: "a leader that dies while a lease ends", defines: ["LEADER", "LEASE", "CRASH"] },
  { name: "a Redis that loses everything", defines: ["LEADER", "LEASE", "FLUSH"] },
  {
    name: "a Nginx that is cut off twice, and a leader that dies",
    defines: ["LEADER", "CUT", "CRASH", "RENEWALS=2"],
  },
  { name: "a Nginx and a Redis that are cut off", defines: ["LEADER", "CUT", "LEASE"] },
  {
    name: "a Nginx that is cut off and restarted",
    defines: ["LEADER", "CUT", "RESTART", "COUNTED"],
  },
  {
    name: "a Nginx that is restarted, and a leader that dies",
    defines: ["LEADER", "RESTART", "CRASH", "COUNTED"],
  },
  {
    name: "a Nginx that is cut off and restarted, and a leader that dies",
    defines: ["LEADER", "CUT", "CRASH", "RESTART", "COUNTED", "WRITERS=1"],
  },
  {
    name: "all that can fail at once, but a restart of Nginx",
    defines: ["LEADER", "CUT", "CRASH", "LEASE", "FLUSH", "STOPS", "WRITERS=1"],
  },
  { name: "readers that join a load", defines: ["JOIN", "READERS=2"] },
  {
    name: "readers that join a load while a lease ends",
    defines: ["JOIN", "LEADER", "LEASE", "READERS=2", "WRITERS=1"],
  },
  { name: "a log that is restored", defines: ["RESTORE", "READERS=2", "COUNTED"] },
];

// Each with only the features that its guard needs: the fewer, the faster the search.
const READERS = ["READERS=2", "COUNTED"];
const VARIANTS: Search[] = [
  {
    name: "versions are set to the highest position",
    defines: ["SET_HIGHEST", "RESTORE", ...READERS],
  },
  { name: "Nginx skips a raise by its position", defines: ["SKIP_BY_POSITION", ...READERS] },
  { name: "versions are raised before Redis drops", defines: ["RAISE_BEFORE_DROP", ...READERS] },
  {
    name: "a repeat is answered at once",
    defines: ["REPEAT_ANSWERED_AT_ONCE", "LEADER", "STOPS"],
  },
  { name: "versions expire", defines: ["VERSIONS_EXPIRE", "COUNTED"] },
  { name: "the key has no epoch", defines: ["NO_EPOCH", "LEADER", "RESTART", "COUNTED"] },
  {
    name: "a stale file of an older version is served",
    defines: ["STALE_OF_OLDER_VERSION", ...READERS],
  },
  {
    name: "a committer whose drop failed answers",
    defines: ["ANSWER_WITHOUT_DROP", "LEADER", "STOPS"],
  },
  { name: "a leader that cannot drop keeps the lease", defines: ["LEASE_KEPT", "LEADER", "LEASE"] },
  {
    name: "a Nginx is excused while contact is renewed",
    defines: ["EXCUSED_WHILE_RENEWING", "LEADER", "CUT"],
  },
  {
    name: "contact is renewed without raising everything",
    defines: ["NO_RAISE_ALL", "LEADER", "CUT"],
  },
  {
    name: "a reader joins a load that began before it came",
    defines: ["JOIN_OLD_LOAD", "JOIN", "READERS=2"],
  },
  {
    name: "the leader skips what was not confirmed",
    defines: ["UNCONFIRMED_SKIPPED", "LEADER", "STOPS"],
  },
  {
    name: "a Nginx is marked after the watermark has passed",
    defines: ["MARKED_TOO_LATE", "LEADER", "CUT"],
  },
  {
    name: "the mark of a Nginx dies with the leader",
    defines: ["MARK_IN_MEMORY", "LEADER", "CUT", "CRASH"],
  },
  {
    name: "a former leader clears the mark of a Nginx",
    defines: ["OLD_LEADER_WRITES", "LEADER", "CUT", "CRASH"],
  },
  { name: "a later drop lowers a floor", defines: ["FLOOR_NOT_MONOTONIC", ...READERS] },
  { name: "a load reads its position after the rows", defines: ["POSITION_AFTER_ROWS", "COUNTED"] },
  {
    name: "a value is kept under the generation at its end",
    defines: ["GENERATION_AT_PUT", "LEADER", "LEASE", "COUNTED"],
  },
  {
    name: "a flush of Redis goes unnoticed",
    defines: ["FLUSH_UNNOTICED", "LEADER", "FLUSH", "COUNTED"],
  },
  {
    name: "a lease outlives a restart of Redis that lost floors",
    defines: ["LEASE_SURVIVES_RESTART", "LEADER", "FLUSH", "COUNTED", "WRITERS=1"],
  },
];

const searches = new Map<Search, () => Promise<string>>();
const waiting: (() => Promise<void>)[] = [];
const running: Promise<void>[] = [];
for (const one of [...CORRECT, ...VARIANTS]) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  // The test that awaits a search reports its failure, which may come later.
  promise.catch(() => {});
  waiting.push(() => search(one.defines).then(resolve, reject));
  searches.set(one, () => {
    while (running.length < AT_ONCE) running.push(work());
    return promise;
  });
}

async function work(): Promise<void> {
  for (let next = waiting.shift(); next; next = waiting.shift()) await next();
}

async function search(defines: string[]): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "tallybook-model-" });
  try {
    return await shell(SEARCH, dir, MODEL, ...defines.map((define) => `-D${define}`));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** The output of one search; searches run two at a time. */
async function found(one: Search): Promise<string> {
  return await searches.get(one)?.() ?? "";
}

function errors(report: string): string | undefined {
  return /errors: \d+/.exec(report)?.[0];
}

/** Steps that no order reaches: the model would then show less than it claims. An end is none. */
function unreached(report: string): string[] {
  const steps = report.split("\n").filter((line) => /^\t.*, state \d+, "/.test(line));
  return steps.filter((line) => !line.endsWith('"-end-"'));
}

describe("a read after an answered write returns it or a later one", () => {
  after(async () => {
    waiting.length = 0;
    await Promise.all(running);
  });

  describe("in every order of steps, with", () => {
    for (const one of CORRECT) {
      it(one.name, async () => {
        const report = await found(one);
        assertEquals(errors(report), "errors: 0", report);
        assert(!/max search depth too small|Search not completed/.test(report), report);
        assertEquals(unreached(report), []);
      });
    }
  });

  describe("but not if", () => {
    for (const one of VARIANTS) {
      it(one.name, async () => {
        const report = await found(one);
        assertEquals(errors(report), "errors: 1", report);
        assert(report.includes("assertion violated"), report);
      });
    }
  });
});
