import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";
import { heading, logIn, openBrowser, openStack, post, visitor } from "./browser.ts";

let stack: Stack;
let browser: Browser;

before(async () => {
  const env = { MODERATION: "before", ACCESS: "guarded" };
  [stack, browser] = await Promise.all([openStack(env), openBrowser()]);
});

after(async () => {
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

async function isShown(message: string): Promise<boolean> {
  const entries: { message: string }[] = await (await fetch(`${stack.url}/entries`)).json();
  return entries.some((entry) => entry.message === message);
}

for (const script of [true, false]) {
  describe(`an admin ${script ? "with" : "without"} JavaScript`, () => {
    it("logs in with the right token only, and logs out", async () => {
      const page = await visitor(browser, stack.url, { script });
      await page.goto("/admin/polls");
      await heading(page, "This is for the admin");
      await page.getByLabel("Admin token").fill("a-wrong-token-of-some-length");
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByRole("alert").waitFor();
      await page.getByLabel("Admin token").fill(stack.secrets.ADMIN_TOKEN);
      await page.getByRole("button", { name: "Log in" }).click();
      await heading(page, "Polls");
      assertMatch(page.url(), /\/admin\/polls$/);
      await page.getByRole("button", { name: "Log out" }).click();
      await heading(page, "Admin desk");
      await page.goto("/admin/log");
      await heading(page, "This is for the admin");
      await page.context().close();
    });

    it("approves, hides, restores and erases entries", async () => {
      const message = `To be read first ${crypto.randomUUID()}`;
      await post(stack.url, "/sign", { name: "Visitor", message });
      assertEquals(await isShown(message), false);
      const page = await visitor(browser, stack.url, { script });
      await logIn(page, stack.secrets.ADMIN_TOKEN);
      const entry = page.locator("article", { hasText: message });
      const go = async (state: string) => {
        await page.goto(`/admin/entries?state=${state}`);
        await entry.waitFor();
      };
      await go("held");
      await entry.getByRole("button", { name: "Approve" }).click();
      await entry.waitFor({ state: "detached" });
      await heading(page, "Entries");
      assert(await isShown(message));
      await go("shown");
      await entry.getByRole("button", { name: "Hide" }).click();
      await entry.waitFor({ state: "detached" });
      assertEquals(await isShown(message), false);
      await go("hidden");
      await entry.getByRole("button", { name: "Restore" }).click();
      await entry.waitFor({ state: "detached" });
      assert(await isShown(message));
      await go("shown");
      await entry.locator("summary", { hasText: "Erase" }).click();
      await entry.getByRole("button", { name: "Erase for good" }).click();
      await entry.waitFor({ state: "detached" });
      assertEquals(await isShown(message), false);
      await page.context().close();
    });

    it("opens, changes, closes, reopens and deletes a poll", async () => {
      const page = await visitor(browser, stack.url, { script });
      await logIn(page, stack.secrets.ADMIN_TOKEN);
      await page.goto("/admin/polls");
      const question = `Cats or dogs ${crypto.randomUUID()}?`;
      await page.getByLabel("Question").fill(question);
      await page.getByLabel("Options").fill("Cats");
      await page.getByRole("button", { name: "Open the poll" }).click();
      await page.getByRole("link", { name: "Options at least 2 options" }).waitFor();
      assertEquals(await page.getByLabel("Question").inputValue(), question);
      await page.getByLabel("Options").fill("Cats\nDogs");
      await page.getByLabel("Closes at").fill("2999-07-01T12:00");
      await page.getByRole("button", { name: "Open the poll" }).click();
      await heading(page, question);
      const id = new URL(page.url()).pathname.split("/").at(-1);

      await page.goto(`/admin/polls/${id}`);
      await page.getByLabel("Options").fill("Cats\nHounds\nBirds");
      await page.getByRole("button", { name: "Save" }).click();
      await heading(page, question);
      const poll = await (await fetch(`${stack.url}/polls/${id}`)).json();
      assertEquals(poll.options.map((option: { id: string; text: string }) => option.text), [
        "Cats",
        "Hounds",
        "Birds",
      ]);
      assertEquals(poll.closes_at, "2999-07-01T12:00:00.000Z");

      const row = page.getByRole("listitem").filter({ hasText: question });
      const state = async () => (await (await fetch(`${stack.url}/polls/${id}`)).json()).state;
      await page.goto("/admin/polls");
      await row.getByRole("button", { name: "Close now" }).click();
      await row.getByRole("button", { name: "Reopen" }).waitFor();
      assertEquals(await state(), "closed");
      await row.getByRole("button", { name: "Reopen" }).click();
      await row.getByRole("button", { name: "Close now" }).waitFor();
      assertEquals(await state(), "open");
      await row.locator("summary", { hasText: "Delete" }).click();
      await row.getByRole("button", { name: "Delete" }).click();
      await row.waitFor({ state: "detached" });
      assertEquals((await fetch(`${stack.url}/polls/${id}`)).status, 404);
      await page.context().close();
    });

    it("filters the log by stream and type, and opens one event in full", async () => {
      await post(stack.url, "/sign", { name: "Logged Lea", message: "For the log" });
      const page = await visitor(browser, stack.url, { script });
      await logIn(page, stack.secrets.ADMIN_TOKEN);
      await page.goto("/admin/log");
      await page.getByLabel("Type").selectOption("EntrySigned");
      await page.getByRole("button", { name: "Filter" }).click();
      const signed = page.getByRole("link", { name: /EntrySigned/ });
      await signed.first().waitFor();
      assertEquals(await page.getByRole("link", { name: /PollOpened/ }).count(), 0);
      await page.getByLabel("Until, in UTC").fill("2001-01-01T00:00");
      await page.getByRole("button", { name: "Filter" }).click();
      await page.getByText("No event fits").waitFor();
      await page.goto("/admin/log?type=EntrySigned");
      await signed.first().click();
      await heading(page, /^Event/);
      await page.getByRole("region", { name: "Data", exact: true }).getByText("Logged Lea")
        .waitFor();
      await page.locator("summary", { hasText: "As it is stored" }).click();
      await page.getByText('"$enc"').first().waitFor();
      await page.context().close();
    });

    it("replays a projection, verifies the log, and sees caches and health", async () => {
      const page = await visitor(browser, stack.url, { script });
      await logIn(page, stack.secrets.ADMIN_TOKEN);
      await page.goto("/admin/projections");
      const row = page.getByRole("listitem").filter({ hasText: "guestbook" });
      await row.getByRole("button", { name: "Replay" }).click();
      await heading(page, "Projections");
      await page.goto("/admin/projections");
      await row.getByText(/lag 0/).waitFor();

      await page.goto("/admin/verify");
      await page.getByRole("button", { name: "Verify now" }).click();
      await page.getByRole("heading", { name: "The log is whole" }).waitFor();

      for (let i = 0; i < 5; i++) await (await fetch(`${stack.url}/polls`)).body?.cancel();
      // Each replica writes down what it counted every two seconds.
      await waitFor(async () => {
        await page.goto("/admin/caches");
        return await page.getByRole("img", { name: /polls: hit rate between/ }).count() > 0;
      });
      await page.getByRole("button", { name: "Clear" }).click();
      await heading(page, "Caches");
      await page.goto("/admin/health");
      await page.getByText("healthy").waitFor();
      await page.context().close();
    });
  });
}

describe("the log on the admin desk", () => {
  it("shows new events while it is open", async () => {
    const page = await visitor(browser, stack.url);
    await logIn(page, stack.secrets.ADMIN_TOKEN);
    await page.goto("/admin/log");
    await page.getByText("Updates by itself").waitFor();
    const { json } = await post(stack.url, "/sign", { name: "Now", message: "Just now" });
    const link = page.getByRole("link", { name: `entry-${json.id}`, exact: true });
    await page.getByRole("button", { name: /^\d+ new$/ }).waitFor();
    assertEquals(await link.count(), 0);
    await page.getByRole("button", { name: /^\d+ new$/ }).click();
    await link.waitFor();
    await page.context().close();
  });

  it("counts only events that match its filter", async () => {
    const page = await visitor(browser, stack.url);
    await logIn(page, stack.secrets.ADMIN_TOKEN);
    await page.goto("/admin/log?type=ItemCreated");
    await page.getByText("Updates by itself").waitFor();
    await post(stack.url, "/sign", { name: "Other", message: "Not an item" });
    const token = stack.secrets.ADMIN_TOKEN;
    await post(stack.url, "/items", { name: "Kettle" }, { token });
    await page.getByRole("button", { name: "1 new" }).waitFor();
    await page.context().close();
  });
});

describe("guarded access", () => {
  it("shows forms for people and items to the admin only", async () => {
    const page = await visitor(browser, stack.url);
    await page.goto("/users");
    assertEquals(await page.getByRole("button", { name: "Add" }).count(), 0);
    await logIn(page, stack.secrets.ADMIN_TOKEN);
    await page.goto("/users");
    await page.getByRole("button", { name: "Add" }).waitFor();
    await page.context().close();
  });

  it("tells an author that the entry is held, and shows it to nobody else", async () => {
    const page = await visitor(browser, stack.url, { script: false });
    await page.goto("/");
    await page.getByLabel("Name").fill("Patient");
    await page.getByLabel("Message").fill("I can wait");
    await page.getByRole("button", { name: "Sign" }).click();
    await page.getByText("Only you can see this").waitFor();
    await page.goto("/");
    assertEquals(await page.getByText("I can wait").count(), 0);
    await page.context().close();
  });
});
