import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser, Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { heading, openBrowser, openStack, post, visitor, watch } from "./browser.ts";

let stack: Stack;
let browser: Browser;

before(async () => {
  [stack, browser] = await Promise.all([openStack(), openBrowser()]);
});

after(async () => {
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

async function openPoll(fields: Record<string, unknown> = {}): Promise<number> {
  const poll = { question: "Tea or coffee?", options: ["Tea", "Coffee"], ...fields };
  const { status, json } = await post(stack.url, "/polls", poll, {
    token: stack.secrets.ADMIN_TOKEN,
  });
  assertEquals(status, 201);
  return Number(json.id);
}

async function sign(page: Page, name: string, message: string): Promise<void> {
  await page.goto("/");
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Message").fill(message);
  await page.getByRole("button", { name: "Sign" }).click();
}

for (const script of [true, false]) {
  describe(`a visitor ${script ? "with" : "without"} JavaScript`, () => {
    it("signs, is thanked, sees the entry at once, changes it and deletes it", async () => {
      const page = await visitor(browser, stack.url, { script });
      const seen = watch(page.context(), stack.url);
      const message = `Hello ${crypto.randomUUID()}`;
      await sign(page, "Ada", message);
      await page.getByText("Thank you for signing").first().waitFor();
      await page.getByText(message).first().waitFor();
      await page.goto("/");
      await page.locator("#newest").getByText(message).waitFor();

      await page.goto("/entries/mine");
      await page.locator("summary", { hasText: "Change" }).click();
      await page.getByLabel("Message").fill(`${message}, again`);
      await page.getByRole("button", { name: "Save" }).click();
      await heading(page, "Your entry is changed");
      await page.goto("/");
      await page.locator("#newest").getByText(`${message}, again`).waitFor();

      await page.goto("/entries/mine");
      await page.locator("summary", { hasText: "Delete" }).click();
      await page.getByRole("button", { name: "Delete for good" }).click();
      await heading(page, "Your entry is deleted");
      await page.goto("/");
      assertEquals(await page.getByText(message).count(), 0);
      assertEquals(seen, []);
      await page.context().close();
    });

    it("sees which fields to correct, with what was typed still there", async () => {
      const page = await visitor(browser, stack.url, { script });
      await sign(page, "   ", "Worth keeping");
      await page.getByRole("link", { name: "Name is empty" }).waitFor();
      assertEquals(await page.getByLabel("Message").inputValue(), "Worth keeping");
      assertEquals(await page.getByLabel("Name").getAttribute("aria-invalid"), "true");
      await page.getByLabel("Name").fill("Ada");
      await page.getByRole("button", { name: "Sign" }).click();
      await heading(page, "Thank you for signing");
      await page.context().close();
    });

    it("reads older entries by link, page after page", async () => {
      for (let i = 0; i < 32; i++) {
        await post(stack.url, "/sign", { name: "Crowd", message: `Number ${i}` });
      }
      const page = await visitor(browser, stack.url, { script });
      await page.goto("/");
      assertEquals(await page.locator("#newest article").count(), 10);
      await page.getByRole("link", { name: "Older entries" }).click();
      await heading(page, "Entries");
      assertEquals(await page.locator("article").count(), 20);
      await page.getByRole("link", { name: "Older entries" }).click();
      await page.waitForURL(/before=/);
      assert(await page.locator("article").count() > 0);
      await page.context().close();
    });

    it("votes, gets a receipt, changes the vote and withdraws it", async () => {
      const id = await openPoll();
      const page = await visitor(browser, stack.url, { script });
      const seen = watch(page.context(), stack.url);
      await page.goto(`/polls/${id}`);
      await page.getByText("One vote per browser").waitFor();
      await page.getByLabel("Tea").check();
      await page.getByRole("button", { name: "Vote" }).click();
      await heading(page, "Vote received");
      await page.getByRole("list", { name: "Your choice" }).getByText("Tea").waitFor();
      assertMatch(await page.locator("#results tr[data-option='1']").innerText(), /1\s+100 %/);

      await page.getByRole("link", { name: /^\d+-[0-9a-f]{32}$/ }).click();
      await heading(page, "This vote is counted");

      await page.goto(`/polls/${id}`);
      await page.getByRole("link", { name: "Already voted?" }).click();
      assertEquals(await page.getByLabel("Tea").isChecked(), true);
      await page.getByLabel("Coffee").check();
      await page.getByRole("button", { name: "Change my vote" }).click();
      await heading(page, "Vote received");
      await page.getByRole("list", { name: "Your choice" }).getByText("Coffee").waitFor();

      await page.locator("summary", { hasText: "Withdraw my vote" }).click();
      await page.getByRole("button", { name: "Withdraw" }).click();
      await heading(page, "Vote withdrawn");
      const results = await (await fetch(`${stack.url}/polls/${id}/results`)).json();
      assertEquals([results.votes, results.voters], [0, 0]);
      assertEquals(seen, []);
      await page.context().close();
    });

    it("chooses several options in a multiple choice, and is told to choose one in a single one", async () => {
      const id = await openPoll({ choice: "multiple" });
      const page = await visitor(browser, stack.url, { script });
      await page.goto(`/polls/${id}`);
      await page.getByRole("button", { name: "Vote" }).click();
      await page.getByText("Please choose at least one option").waitFor();
      await page.getByLabel("Tea").check();
      await page.getByLabel("Coffee").check();
      await page.getByRole("button", { name: "Vote" }).click();
      await heading(page, "Vote received");
      assertMatch(await page.locator(".totals").innerText(), /2 votes from 1 voter/);
      await page.context().close();
    });

    it("sees hidden results only after voting, at their own address", async () => {
      const id = await openPoll({ results: "after_vote" });
      const page = await visitor(browser, stack.url, { script });
      await page.goto(`/polls/${id}`);
      await page.getByText("Results are shown to those who voted").waitFor();
      await page.getByLabel("Tea").check();
      await page.getByRole("button", { name: "Vote" }).click();
      await page.locator("#results tr[data-option='1']").waitFor();
      await page.goto(`/polls/${id}`);
      await page.getByText("Results are shown to those who voted").waitFor();
      await page.context().close();
    });

    it("sees when a poll closes, in the reader's time zone or in UTC", async () => {
      const id = await openPoll({ closes_at: "2999-07-01T12:00:00Z" });
      const page = await visitor(browser, stack.url, { script });
      await page.goto(`/polls/${id}`);
      const said = await page.locator("time[data-as=moment]").first().innerText();
      assertMatch(said, /^1 July 2999 at 12:00 UTC$/);
      await page.context().close();
      const abroad = await browser.newContext({
        baseURL: stack.url,
        javaScriptEnabled: script,
        timezoneId: "Asia/Tokyo",
      });
      const there = await abroad.newPage();
      await there.goto(`/polls/${id}`);
      const told = await there.locator("time[data-as=moment]").first().innerText();
      assertMatch(told, script ? /21:00 GMT\+9$/ : /12:00 UTC$/);
      await abroad.close();
    });

    it("adds, changes and deletes a person and an item", async () => {
      const page = await visitor(browser, stack.url, { script });
      const address = `${crypto.randomUUID()}@example.com`;
      await page.goto("/users");
      await page.getByLabel("Name").fill("Grace");
      await page.getByLabel("E-mail address").fill(address);
      await page.getByRole("button", { name: "Add" }).click();
      await heading(page, "Grace");
      await page.locator("summary", { hasText: "Change" }).click();
      await page.getByLabel("Name").fill("Grace H.");
      await page.getByRole("button", { name: "Save" }).click();
      await heading(page, "Grace H.");

      await page.goto("/users");
      await page.getByLabel("Name").fill("Twin");
      await page.getByLabel("E-mail address").fill(address);
      await page.getByRole("button", { name: "Add" }).click();
      await page.getByRole("alert").waitFor();
      assertEquals(await page.getByLabel("Name").inputValue(), "Twin");

      await page.goto("/users");
      await page.getByRole("link", { name: "Grace H." }).last().click();
      await page.locator("summary", { hasText: "Delete" }).click();
      await page.getByRole("button", { name: "Delete" }).click();
      await heading(page, "People");

      await page.goto("/items");
      const name = `Kettle ${crypto.randomUUID().slice(0, 8)}`;
      await page.getByLabel("Name").fill(name);
      await page.getByRole("button", { name: "Add" }).click();
      await heading(page, name);
      await page.locator("summary", { hasText: "Delete" }).click();
      await page.getByRole("button", { name: "Delete" }).click();
      await heading(page, "Items");
      assertEquals(await page.getByText(name).count(), 0);
      await page.context().close();
    });

    it("gets an error page that says what to do", async () => {
      const page = await visitor(browser, stack.url, { script });
      const answer = await page.goto("/nowhere");
      assertEquals(answer?.status(), 404);
      await heading(page, "There is nothing here");
      await page.getByRole("link", { name: "To the guestbook" }).click();
      await heading(page, /Welcome/);
      await page.context().close();
    });
  });
}
