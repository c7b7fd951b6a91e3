// Import, verify and export of a long log through the tasks, with their resident memory sampled
// throughout.
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { after, before, it } from "@std/testing/bdd";
import { connect } from "$src/connections/postgres.ts";
import { migrate } from "$src/store/migrate.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { trial } from "../support/trial.ts";
import { writeChain } from "../store/chain.ts";
import { spawnTask } from "../cli/task.ts";

const LIMIT_MB = 200;

export function memorySuite(events: number, everyMs: number): void {
  let dir: string;
  let database: FreshDatabase;
  let env: Record<string, string>;

  before(async () => {
    dir = await Deno.makeTempDir({ prefix: "tallybook-test-" });
    database = await freshDatabase();
    const sql = connect(database.ownerUrl, { max: 1 });
    await migrate(sql);
    await sql.end();
    env = { DATABASE_URL: database.ownerUrl, DATA_DIR: `${dir}/data` };
    await writeChain(`${dir}/log`, events);
  });

  after(async () => {
    await database[Symbol.asyncDispose]();
    await Deno.remove(dir, { recursive: true });
  });

  const stays = (words: () => string[], said: string) =>
    it(
      `${said} stays under ${LIMIT_MB} MB`,
      trial(`memory of ${said}, ${events} events`, undefined, async (figure) => {
        const child = spawnTask(words(), env);
        const samples = sample(child.pid, everyMs);
        const [{ code, stderr, stdout }, megabytes] = await Promise.all([child.output(), samples]);
        const text = new TextDecoder();
        assertEquals(code, 0, text.decode(stderr));
        figure(`at most ${Math.max(...megabytes)} MB resident, in ${megabytes.length} looks`);
        assert(megabytes.length > 2, "it was over before it was looked at");
        assert(Math.max(...megabytes) < LIMIT_MB, `${Math.max(...megabytes)} MB`);
        assert(`${text.decode(stderr)}${text.decode(stdout)}`.includes(String(events)));
      }),
    );

  stays(() => ["events", "import", `${dir}/log`], "import");
  stays(() => ["verify"], "verify");
  stays(() => ["events", "export", `${dir}/again`], "export");

  it("export, byte for byte, what was imported", async () => {
    assertEquals(await digest(`${dir}/again`), await digest(`${dir}/log`));
  });
}

// Deno may read files below /proc only with all permissions.
const LOOK =
  'while sed -n "s/^VmRSS:[^0-9]*//p" "/proc/$1/status" 2>/dev/null; do sleep "$2"; done';

/** Samples until the process has ended; returns megabytes, one number a sample. */
async function sample(pid: number, everyMs: number): Promise<number[]> {
  const args = ["-c", LOOK, "sh", String(pid), String(everyMs / 1000)];
  const { stdout } = await new Deno.Command("sh", { args, stdout: "piped" }).output();
  const kilobytes = new TextDecoder().decode(stdout).match(/\d+/g) ?? [];
  return kilobytes.map((text) => Math.round(Number(text) / 1024));
}

async function digest(path: string): Promise<string> {
  const sum = createHash("sha256");
  for await (const chunk of (await Deno.open(path)).readable) sum.update(chunk);
  return sum.digest("hex");
}
