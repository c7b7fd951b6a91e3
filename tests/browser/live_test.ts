import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser, Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";
import { heading, openBrowser, openStack, post, visitor } from "./browser.ts";

let stack: Stack;
let browser: Browser;

before(async () => {
  [stack, browser] = await Promise.all([openStack(), openBrowser()]);
});

after(async () => {
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

async function openPoll(): Promise<number> {
  const poll = { question: "Tea or coffee?", options: ["Tea", "Coffee"] };
  const { json } = await post(stack.url, "/polls", poll, { token: stack.secrets.ADMIN_TOKEN });
  return Number(json.id);
}

async function votesShown(page: Page, count: number): Promise<void> {
  await page.locator("[data-votes]", { hasText: new RegExp(`^${count}$`) }).waitFor();
}

function listening(page: Page): Promise<void> {
  return page.getByText("Updates by itself").waitFor();
}

async function totalNamed(name: string): Promise<number> {
  const entries: { name: string }[] = await (await fetch(`${stack.url}/entries?limit=100`)).json();
  return entries.filter((entry) => entry.name === name).length;
}

describe("an open page", () => {
  it("updates when another visitor votes", async () => {
    const id = await openPoll();
    const [watcher, voter] = [await visitor(browser, stack.url), await visitor(browser, stack.url)];
    await watcher.goto(`/polls/${id}`);
    await listening(watcher);
    await voter.goto(`/polls/${id}`);
    await voter.getByLabel("Coffee").check();
    await voter.getByRole("button", { name: "Vote" }).click();
    await heading(voter, "Vote received");
    await votesShown(watcher, 1);
    const row = watcher.locator("tr[data-option='2']");
    assertEquals(await row.locator("[data-count]").innerText(), "1");
    assertEquals(await row.locator(".fill").getAttribute("width"), "100%");
    await Promise.all([watcher.context().close(), voter.context().close()]);
  });

  it("offers a link to the newest numbers without JavaScript", async () => {
    const id = await openPoll();
    const page = await visitor(browser, stack.url, { script: false });
    await page.goto(`/polls/${id}`);
    await post(stack.url, `/polls/${id}/votes`, { option: "Tea" });
    await page.getByRole("link", { name: "Reload for the newest numbers" }).click();
    await votesShown(page, 1);
    await page.context().close();
  });

  it("never shows an older number after a newer one", async () => {
    const id = await openPoll();
    const page = await visitor(browser, stack.url);
    const message = (position: number, votes: number) => {
      const options = [{ id: "1", text: "Tea", votes }, { id: "2", text: "Coffee", votes: 0 }];
      const poll = { id, state: "open", votes, voters: votes, options };
      return `id: ${position}\nevent: poll\ndata: ${JSON.stringify(poll)}\n\n`;
    };
    const far = 1_000_000;
    const body = message(far + 2, 7) + message(far, 3) + message(far + 1, 5);
    await page.route(/\/live/, (route) =>
      route.fulfill({
        status: 200,
        headers: { "content-type": "text/event-stream" },
        body: `retry: 60000\n\n${body}`,
      }));
    await page.goto(`/polls/${id}`);
    await votesShown(page, 7);
    // The reader's own stream has ended, so no later message could correct a wrong number.
    await page.getByText("Reload for the newest numbers").waitFor();
    await votesShown(page, 7);
    await page.context().close();
  });

  it("reconnects after every replica was restarted, and ends at the right number", async () => {
    const id = await openPoll();
    const page = await visitor(browser, stack.url);
    await page.goto(`/polls/${id}`);
    await listening(page);
    await post(stack.url, `/polls/${id}/votes`, { option: "Tea" });
    await votesShown(page, 1);
    for (const app of stack.apps) {
      await app.stop();
      await app.start();
    }
    for (let i = 0; i < 3; i++) {
      await waitFor(async () =>
        (await post(stack.url, `/polls/${id}/votes`, { option: "Tea" })).status === 201
      );
    }
    await votesShown(page, 4);
    await page.context().close();
  });

  it("keeps new entries behind a button that counts them", async () => {
    const page = await visitor(browser, stack.url);
    const opened = page.waitForResponse(/\/entries\/live/);
    await page.goto("/");
    await opened;
    for (let i = 1; i <= 3; i++) {
      await post(stack.url, "/sign", { name: "Eve", message: `From elsewhere ${i}` });
    }
    const button = page.getByRole("button", { name: "3 new" });
    await button.waitFor();
    assertEquals(await page.getByText("From elsewhere").count(), 0);
    await button.click();
    await page.getByText("From elsewhere 3").waitFor();
    assertEquals(await button.isVisible(), false);
    await page.context().close();
  });

  it("does not count one's own entry as new", async () => {
    const page = await visitor(browser, stack.url);
    const opened = page.waitForResponse(/\/entries\/live/);
    await page.goto("/");
    await opened;
    await page.getByLabel("Name").fill("Own");
    await page.getByLabel("Message").fill("My very own");
    await page.getByRole("button", { name: "Sign" }).click();
    await page.locator("#signed").getByText("Thank you for signing").waitFor();
    await page.locator("#newest").getByText("My very own").waitFor();
    await post(stack.url, "/sign", { name: "Eve", message: "Another" });
    await page.getByRole("button", { name: "1 new" }).waitFor();
    assertEquals(new URL(page.url()).pathname, "/");
    await page.context().close();
  });
});

describe("a form when the network fails", () => {
  it("keeps what was typed, and sends it when submitted again", async () => {
    const page = await visitor(browser, stack.url);
    await page.goto("/");
    await page.getByLabel("Name").fill("Offline Olga");
    await page.getByLabel("Message").fill("Written in a tunnel");
    await page.context().setOffline(true);
    await page.getByRole("button", { name: "Sign" }).click();
    await page.getByRole("alert").getByText("No connection").waitFor();
    assertEquals(await page.getByLabel("Message").inputValue(), "Written in a tunnel");
    await page.context().setOffline(false);
    await page.getByRole("button", { name: "Sign" }).click();
    await page.getByText("Thank you for signing").waitFor();
    assertEquals(await page.getByRole("alert").count(), 0);
    assertEquals(await totalNamed("Offline Olga"), 1);
    await page.context().close();
  });

  it("is applied once when the response to its request was lost", async () => {
    const page = await visitor(browser, stack.url);
    await page.goto("/");
    let lost = 0;
    await page.route("**/sign", async (route) => {
      if (lost++ > 0) return await route.continue();
      await route.fetch({ maxRedirects: 0 });
      await route.abort("connectionreset");
    });
    await page.getByLabel("Name").fill("Lost Lars");
    await page.getByLabel("Message").fill("Did this arrive?");
    await page.getByRole("button", { name: "Sign" }).click();
    await page.getByRole("alert").waitFor();
    assertEquals(await totalNamed("Lost Lars"), 1);
    await page.getByRole("button", { name: "Sign" }).click();
    await page.getByText("Thank you for signing").waitFor();
    assertEquals(lost, 2);
    assertEquals(await totalNamed("Lost Lars"), 1);
    await page.context().close();
  });

  it("casts one vote when the vote was sent twice", async () => {
    const id = await openPoll();
    const page = await visitor(browser, stack.url);
    await page.goto(`/polls/${id}`);
    let lost = 0;
    await page.route(`**/polls/${id}/votes`, async (route) => {
      if (lost++ > 0) return await route.continue();
      await route.fetch({ maxRedirects: 0 });
      await route.abort("connectionreset");
    });
    await page.getByLabel("Tea").check();
    await page.getByRole("button", { name: "Vote" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByRole("button", { name: "Vote" }).click();
    await heading(page, "Vote received");
    const results = await (await fetch(`${stack.url}/polls/${id}/results`)).json();
    assertEquals([results.votes, results.voters], [1, 1]);
    await page.context().close();
  });

  it("shows when to try again after a 429 with Retry-After", async () => {
    const page = await visitor(browser, stack.url);
    await page.goto("/");
    await page.route(
      "**/sign",
      (route) => route.fulfill({ status: 429, headers: { "retry-after": "7" }, body: "" }),
    );
    await page.getByLabel("Name").fill("Hasty");
    await page.getByLabel("Message").fill("Quick");
    await page.getByRole("button", { name: "Sign" }).click();
    await page.getByRole("alert").getByText("Try again in 7 seconds").waitFor();
    assertEquals(await page.getByLabel("Message").inputValue(), "Quick");
    await page.context().close();
  });
});
