// The pages that a person sees on a conflict, in an outage, or at a rate limit.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser, Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";
import { heading, openBrowser, openStack, post, visitor } from "./browser.ts";

const AWAY = "We cannot do that just now";
const HASTY = "That was a little too fast";

let stack: Stack;
let browser: Browser;

before(async () => {
  [stack, browser] = await Promise.all([openStack({ RATE_LIMIT: "on" }), openBrowser()]);
});

after(async () => {
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

async function fillIn(page: Page, message: string): Promise<void> {
  await page.goto("/");
  await page.getByLabel("Name").fill("Ada");
  await page.getByLabel("Message").fill(message);
}

const sign = (page: Page) => page.getByRole("button", { name: "Sign" }).click();

/** An error page for people: in words, styled, without technical details. */
async function speaksPlainly(page: Page, name: string): Promise<void> {
  await heading(page, name);
  const text = await page.locator("main").innerText();
  assert(!/ECONN|postgres|127\.0\.0\.1|database|upstream/i.test(text), text);
  const family = await page.evaluate("getComputedStyle(document.querySelector('h1')).fontFamily");
  assertMatch(String(family), /Georgia/, "its style sheet came along");
}

for (const script of [true, false]) {
  describe(`two people who change one record, ${script ? "with" : "without"} JavaScript`, () => {
    it("see the first change saved, and the second refused with its text kept", async () => {
      const { json } = await post(stack.url, "/items", { name: "Kettle", description: "Old" });
      const pages = [
        await visitor(browser, stack.url, { script }),
        await visitor(browser, stack.url, { script }),
      ] as const;
      const [first, second] = pages;
      for (const page of pages) {
        await page.goto(`/items/${json.id}`);
        await page.locator("summary", { hasText: "Change" }).click();
      }
      await first.getByLabel("Description").fill("From the first");
      await first.getByRole("button", { name: "Save" }).click();
      await first.getByText("From the first").first().waitFor();
      await second.getByLabel("Description").fill("From the second");
      await second.getByRole("button", { name: "Save" }).click();
      await second.getByRole("alert").getByText("Changed meanwhile").waitFor();
      assertEquals(await second.getByLabel("Description").inputValue(), "From the second");
      await second.getByRole("region", { name: "What is there now" }).getByText("From the first")
        .waitFor();
      const item = async () => await (await fetch(`${stack.url}/items/${json.id}`)).json();
      assertEquals((await item()).description, "From the first");
      await second.getByRole("button", { name: "Save" }).click();
      await heading(second, "Kettle");
      assertEquals((await item()).description, "From the second");

      await first.locator("summary", { hasText: "Delete" }).click();
      await first.getByRole("button", { name: "Delete" }).click();
      await heading(first, "That was changed meanwhile");
      await first.getByRole("link", { name: "See it as it is now" }).click();
      await first.getByText("From the second").first().waitFor();
      for (const page of pages) await page.context().close();
    });
  });
}

describe("while the database is down", () => {
  it("a page that needs it says so in words, directly and through Nginx", async () => {
    const urls = [stack.url, stack.appUrls[1] ?? ""];
    const pages = await Promise.all(
      urls.map((base) => visitor(browser, base, { script: false })),
    );
    for (const page of pages) await fillIn(page, "Worth keeping");
    await stack.postgres.stop();
    for (const page of pages) {
      await sign(page);
      await page.getByRole("alert").getByText(AWAY).waitFor();
      assertEquals(await page.getByLabel("Message").inputValue(), "Worth keeping");
      const answer = await page.goto("/users/1");
      assertEquals(answer?.status(), 503);
      assert(Number(answer?.headers()["retry-after"]) > 0);
      await speaksPlainly(page, AWAY);
    }
    const answer = await fetch(`${stack.url}/users/1`);
    const { detail } = await answer.json();
    assertEquals([answer.status, detail], [503, "the database is away"]);
    await stack.postgres.start();
    await waitFor(async () => (await fetch(`${stack.url}/users?limit=1`)).ok, 20_000);
    await pages[0]?.goto("/entries/mine");
    await pages[0]?.getByText("Nothing here from this browser").waitFor();
    for (const page of pages) await page.context().close();
  });
});

describe("while no replica runs", () => {
  it("Nginx says so in words, to a reader and to a writer", async () => {
    const page = await visitor(browser, stack.url, { script: false });
    await fillIn(page, "Into the void");
    for (const app of stack.apps) await app.kill();
    await sign(page);
    await speaksPlainly(page, AWAY);
    await page.goBack();
    assertEquals(await page.getByLabel("Message").inputValue(), "Into the void");
    const answer = await page.goto("/entries/mine");
    assertEquals([answer?.status(), answer?.headers()["retry-after"]], [503, "2"]);
    await speaksPlainly(page, AWAY);
    for (const app of stack.apps) await app.start();
    await page.context().close();
  });
});

// Runs last, as it takes Nginx a while to forget a flood.
describe("without JavaScript", () => {
  it("Nginx' rate limit is explained on a page", async () => {
    const page = await visitor(browser, stack.url, { script: false });
    let flooding = true;
    const flood = Array.from({ length: 30 }, async () => {
      while (flooding) {
        const answer = await fetch(`${stack.url}/nowhere`, { method: "POST" });
        await answer.body?.cancel();
      }
    });
    // A request of the flood that was let through is tried again.
    await waitFor(async () => {
      await fillIn(page, "Quick");
      await sign(page);
      return await page.getByRole("heading", { level: 1, name: HASTY }).count() > 0;
    }, 20_000);
    flooding = false;
    await Promise.all(flood);
    await speaksPlainly(page, HASTY);
    await page.goBack();
    assertEquals(await page.getByLabel("Message").inputValue(), "Quick");
    await page.context().close();
  });

  it("a replica's rate limit is explained on a page", async () => {
    const [url = ""] = stack.appUrls;
    const page = await visitor(browser, url, { script: false });
    await fillIn(page, "Quick");
    for (let i = 0; i < 600; i++) {
      const answer = await fetch(`${url}/nowhere`, { method: "POST" });
      await answer.body?.cancel();
    }
    const answered = page.waitForResponse(/\/sign$/);
    await sign(page);
    const answer = await answered;
    assertEquals(answer.status(), 429);
    assert(Number(answer.headers()["retry-after"]) > 0);
    await speaksPlainly(page, HASTY);
    await page.context().close();
  });
});
