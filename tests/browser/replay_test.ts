// The progress bar of a replay on the admin desk, observed while locks of the test hold the replay.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser, Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { signEntry } from "$src/commands/guestbook.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { liveHook } from "$src/projector/projector.ts";
import { Appender } from "$src/store/appender.ts";
import { projections } from "$projections/mod.ts";
import { waitFor } from "../support/until.ts";
import { logIn, openBrowser, openStack, visitor } from "./browser.ts";

const ENTRIES = 6500;
// As many events as a replay commits at once.
const PAGE = 2000;

let stack: Stack;
let browser: Browser;
let sql: Sql;

before(async () => {
  [stack, browser] = await Promise.all([openStack(), openBrowser()]);
  sql = connect(stack.ownerDatabaseUrl, { max: 3, patient: true });
  await fillLog();
  await buildGates();
});

after(async () => {
  await sql?.end({ timeout: 5 });
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

async function fillLog(): Promise<void> {
  const appender = new Appender(sql, { hook: liveHook(projections) });
  const facts = { name: "Ada", message: "Hi", author: null, held: false };
  for (let first = 1; first <= ENTRIES; first += 500) {
    const signed = Array.from({ length: 500 }, (_, i) => signEntry({ id: first + i, ...facts }));
    const streams = signed.flatMap((decision) => decision.streams);
    await appender.append({ streams, meta: { actor: "visitor" } });
  }
  await appender.close();
}

/** The replay waits here to save its progress while the test holds that lock. */
async function buildGates(): Promise<void> {
  await sql.unsafe(`
    create function wait_at_gate() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock_shared(77, (new.rebuild / ${PAGE})::int);
      return new;
    end $$;
    create trigger gate before update on read.projections for each row
      when (new.rebuild > 0) execute function wait_at_gate()`);
}

type Gates = AsyncDisposable & { open: (gate: number) => Promise<void> };

async function holdGates(gates: number[]): Promise<Gates> {
  const holder = await sql.reserve();
  for (const gate of gates) await holder`select pg_advisory_lock(77, ${gate})`;
  return {
    open: async (gate) => void await holder`select pg_advisory_unlock(77, ${gate})`,
    async [Symbol.asyncDispose]() {
      await holder`select pg_advisory_unlock_all()`;
      holder.release();
    },
  };
}

const bar = (page: Page) => page.getByRole("progressbar", { name: "Replay of guestbook" });

async function shown(page: Page): Promise<number> {
  return Number(await bar(page).getAttribute("value"));
}

describe("the progress bar of a replay", () => {
  it("moves while the page is open, and at each reload without JavaScript", async () => {
    await using gates = await holdGates([1, 2, 3]);
    const looking = await visitor(browser, stack.url);
    const plain = await visitor(browser, stack.url, { script: false });
    for (const page of [looking, plain]) {
      await logIn(page, stack.secrets.ADMIN_TOKEN);
      await page.goto("/admin/projections");
    }
    const row = looking.getByRole("listitem").filter({ hasText: "guestbook" });
    await row.getByRole("button", { name: "Replay" }).click();
    const seen: number[] = [];
    for (const [reached, next] of [[0, 1], [PAGE, 2], [2 * PAGE, 3]] as const) {
      await waitFor(async () => await shown(looking) >= reached);
      const [now, all] = [await shown(looking), await bar(looking).getAttribute("max")];
      assert(now < reached + PAGE, `${now} before gate ${next}`);
      assert(Number(all) >= ENTRIES, `of ${all}`);
      await plain.reload();
      assertEquals(await shown(plain), now);
      seen.push(now);
      await gates.open(next);
    }
    assertEquals(new Set(seen).size, 3, `three places: ${seen}`);
    await bar(looking).waitFor({ state: "detached" });
    await row.getByText(/lag 0/).waitFor();
    await row.getByRole("button", { name: "Replay" }).waitFor();
    for (const page of [looking, plain]) await page.context().close();
  });
});
