// The client that runs every query: lost connections, and arrays as parameters and results.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { isConnectionError, type Sql, type Tx } from "$src/connections/postgres.ts";
import { type FreshDatabase, freshDatabase, opened } from "../support/database.ts";
import { waitFor } from "../support/until.ts";

const CONNECTIONS = 3;

let database: FreshDatabase;
let owner: ReturnType<typeof opened>;
let client: ReturnType<typeof opened>;

/** Unhandled rejections while `work` runs: each would end the process. */
async function unhandledDuring(work: () => Promise<void>): Promise<string[]> {
  const found: string[] = [];
  const note = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    found.push(String(event.reason));
  };
  addEventListener("unhandledrejection", note);
  try {
    await work();
    // Deno reports a rejection when the microtask queue is empty, so a timer fires after it.
    await new Promise((done) => setTimeout(done));
  } finally {
    removeEventListener("unhandledrejection", note);
  }
  return found;
}

/** One statement on each connection of the client. */
function onEach<Result>(ask: (sql: Sql) => PromiseLike<Result>): Promise<Result[]> {
  return Promise.all(Array.from({ length: CONNECTIONS }, () => ask(client.sql)));
}

async function endWaiting(tx: Tx): Promise<void> {
  await tx`select pg_stat_clear_snapshot()`;
  await tx`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`;
}

describe("the database client", () => {
  before(async () => {
    database = await freshDatabase();
    owner = opened(database.ownerUrl);
    client = opened(database.ownerUrl, CONNECTIONS);
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await owner[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  it("fails a query whose connection ends while opening, and leaves no unhandled rejection", async () => {
    const unhandled = await unhandledDuring(() =>
      owner.sql.begin(async (tx) => {
        await tx`lock table pg_catalog.pg_type in access exclusive mode`;
        const answers = onEach((sql) => sql`select 1`.then(() => "answered", (error) => error));
        let all = false;
        answers.finally(() => all = true);
        await waitFor(async () => (await endWaiting(tx), all));
        for (const answer of await answers) assert(isConnectionError(answer), String(answer));
      }).then(() => {})
    );
    assertEquals(unhandled, []);
    // The client repeats the error of a lost connection once when it opens that connection again.
    await waitFor(() => onEach((sql) => sql`select pg_sleep(0.02)`));
  });

  const lists: [type: string, list: (string | number | null)[]][] = [
    ["text", ["a", null, "", "null", "NULL", "{}", "a,b", '"', "\\", " a ", "'", "\n", "ß"]],
    ["int", [1, null, -2_147_483_648]],
    ["bigint", [0, null, Number.MAX_SAFE_INTEGER]],
    ["timestamptz", ["2026-01-02T03:04:05.678+00:00", null]],
  ];
  for (const [type, list] of lists) {
    it(`sends a list as ${type}[], item by item, an empty one too`, async () => {
      const cast = client.sql.unsafe(`${type}[]`);
      for (const given of [list, []]) {
        const [row] = await client.sql`select to_jsonb(${given}::${cast}) as list`;
        assertEquals(row?.list, given);
      }
    });
  }
});
