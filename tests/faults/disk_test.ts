// PostgreSQL on a small file system that is filled to the last byte, under load.
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { shell, tryShell } from "$src/cli/stack/shell.ts";
import { asOwner } from "./faults.ts";
import { startLoad } from "./load.ts";
import { say, seed } from "./long.ts";
import { checkOutcome, healthy } from "./outcome.ts";
import { waitFor } from "../support/until.ts";

const SIZE = "400m";

type Small = AsyncDisposable & { dir: string };

async function smallDisk(): Promise<Small | undefined> {
  const dir = await Deno.makeTempDir({ prefix: "tallybook-small-" });
  if (await tryShell('mount -t tmpfs -o size="$2" tmpfs "$1"', dir, SIZE) === undefined) {
    await Deno.remove(dir);
    return undefined;
  }
  await Deno.chmod(dir, 0o711);
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await tryShell('umount -l "$1"', dir);
      await Deno.remove(dir);
    },
  };
}

/** As in compose.yaml: an Nginx that cannot write what it stores cannot answer it either. */
async function ownDiskForPages({ dir }: Stack): Promise<AsyncDisposable> {
  const pages = `${dir}/nginx/cache`;
  await shell(
    'mount -t tmpfs -o size=64m tmpfs "$1" && chmod 777 "$1" && mkdir -m 777 "$1/pages" "$1/assets"',
    pages,
  );
  return {
    async [Symbol.asyncDispose]() {
      await tryShell('umount -l "$1"', pages);
    },
  };
}

/** Starts the stack with TMPDIR on this disk, as the stack makes its directory there. */
async function startOn(dir: string) {
  const before = Deno.env.get("TMPDIR");
  Deno.env.set("TMPDIR", dir);
  try {
    return await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
  } finally {
    if (before === undefined) Deno.env.delete("TMPDIR");
    else Deno.env.set("TMPDIR", before);
  }
}

function errorsIn({ keeper, apps }: Stack): string {
  const lines = apps.flatMap(({ name }) => Deno.readTextFileSync(keeper.logFile(name)).split("\n"));
  return lines.filter((line) => line.includes('"level":"error"')).join("\n");
}

const disk = await smallDisk();
if (!disk) say("a full disk: not tried here, because this user may not mount a file system");

describe("a full disk", { skip: disk === undefined }, () => {
  it("refuses writes with 503, loses nothing, and takes writes again once there is room", async () => {
    if (!disk) return;
    await using small = disk;
    await using stack = await startOn(small.dir);
    await using _pages = await ownDiskForPages(stack);
    await healthy(stack.apps);
    const load = startLoad(stack.url, { seed, clients: 32, readers: 4 });
    await waitFor(() => load.acknowledged > 100, 30_000, "the clients to be at work");
    await tryShell('dd if=/dev/zero of="$1/filler" bs=1M 2>/dev/null', small.dir);
    // The unused rest of the current WAL segment would hide the full disk for a while.
    await asOwner(stack, (sql) => sql`select pg_switch_wal()`).catch(() => undefined);
    const refused = () => (load.statuses.get("POST 503") ?? 0) > 20;
    await waitFor(refused, 30_000, "writes to be refused");
    await shell('rm "$1/filler"', small.dir);
    // Without room for its WAL PostgreSQL either ends, and is started again here, or recovers by itself.
    await waitFor(
      async () => {
        if (stack.postgres.pid === undefined) await stack.postgres.start();
        return await stack.postgres.spec.ready();
      },
      30_000,
      "PostgreSQL",
    );
    const ms = await healthy(stack.apps);
    const before = load.acknowledged;
    await waitFor(() => load.acknowledged > before + 100, 30_000, "the clients to go on");
    await load.stop();
    assertEquals(load.wrong, [], `a full disk is a 503\n${errorsIn(stack)}`);
    await checkOutcome(stack.databaseUrl, load);
    say(
      `disk full: ${load.statuses.get("POST 503")} refused, ${load.acknowledged} acknowledged, ` +
        `healthy ${ms} ms after there was room`,
    );
  });
});
