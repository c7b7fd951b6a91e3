import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser, Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { logIn, openBrowser, openStack, post, visitor, watch } from "./browser.ts";
import { HOSTILE } from "./hostile.ts";
import { foreignParts, readFeed, textsOf } from "./in_page.js";

const PER_POLL = 20;

let stack: Stack;
let browser: Browser;
let page: Page;
let seen: string[] = [];
const polls: { id: number; question: string; options: string[] }[] = [];
let signed: string[] = [];

before(async () => {
  [stack, browser] = await Promise.all([openStack(), openBrowser()]);
  await Promise.all([signAll(), listAll(), askAll()]);
  page = await visitor(browser, stack.url);
  await logIn(page, stack.secrets.ADMIN_TOKEN);
  seen = watch(page.context(), stack.url);
});

after(async () => {
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

async function signAll(): Promise<void> {
  for (const text of HOSTILE) {
    const { status, json } = await post(stack.url, "/sign", { name: text, message: text });
    assertEquals(status, 201, `signed as ${text}`);
    assertEquals([json.name, json.message], [text, text]);
    signed = [text, ...signed];
  }
}

async function listAll(): Promise<void> {
  for (const text of HOSTILE) {
    await post(stack.url, "/items", { name: text, description: text });
    const email = `${crypto.randomUUID()}@example.com`;
    await post(stack.url, "/users", { name: text, email });
  }
}

async function askAll(): Promise<void> {
  for (let i = 0; i < HOSTILE.length; i += PER_POLL) {
    const options = HOSTILE.slice(i, i + PER_POLL);
    if (options.length < 2) options.push("another");
    const question = options[0] ?? "";
    const sent = { token: stack.secrets.ADMIN_TOKEN };
    const { json } = await post(stack.url, "/polls", { question, options }, sent);
    polls.push({ id: Number(json.id), question, options });
    await post(stack.url, `/polls/${json.id}/votes`, { option: question });
  }
}

/** No script runs, no foreign element is there, and the page is complete down to its last element. */
async function holds(path: string): Promise<void> {
  await page.goto(path);
  assertEquals(await page.evaluate(foreignParts), [], path);
  assertEquals(await page.locator("body > #status").count(), 1, `${path} is broken`);
  assertEquals(seen, [], path);
}

describe("hostile texts", () => {
  it("are at least a hundred", () => assert(HOSTILE.length >= 100, String(HOSTILE.length)));

  it("are shown unchanged on every page of the guestbook", async () => {
    const shown: (string | null)[] = [];
    let path: string | null = "/entries";
    while (path !== null) {
      await holds(path);
      shown.push(...await page.evaluate(textsOf, ".entry .text"));
      const names = await page.evaluate(textsOf, ".entry .name");
      assertEquals(names, shown.slice(-names.length));
      const next = page.getByRole("link", { name: "Older entries" });
      path = await next.count() > 0 ? await next.getAttribute("href") : null;
    }
    assertEquals(shown, signed);
    for (const path of ["/", "/embed/guestbook", "/entries/1", "/entries/40"]) await holds(path);
  });

  it("get links with rel ugc, nofollow and noopener only", async () => {
    await page.goto("/entries");
    const rels = await page.locator(".text a").evaluateAll((links) =>
      links.map((link) => link.getAttribute("rel"))
    );
    assert(rels.length > 0);
    assert(rels.every((rel) => rel === "ugc nofollow noopener"));
  });

  it("are shown unchanged in polls, before and after a vote", async () => {
    await holds("/polls");
    for (const { id, question, options } of polls) {
      await holds(`/polls/${id}`);
      assertEquals(await page.locator("h1").textContent(), question);
      assertEquals(await page.evaluate(textsOf, ".option span"), options);
      assertEquals(await page.evaluate(textsOf, ".bars tbody th span"), options);
      await page.locator(".option input").first().check();
      await page.getByRole("button", { name: "Vote" }).click();
      await page.getByRole("heading", { level: 1, name: "Vote received" }).waitFor();
      assertEquals(await page.evaluate(foreignParts), []);
      for (const path of [`/polls/${id}/mine`, `/embed/polls/${id}`, `/admin/polls/${id}`]) {
        await holds(path);
      }
    }
  });

  it("are shown unchanged in lists, and on the admin desk", async () => {
    await holds("/items");
    assertEquals((await page.evaluate(textsOf, ".list .clip")).slice(0, 50), HOSTILE.slice(0, 50));
    for (const list of ["/users", "/users?after=100", "/items?after=100"]) await holds(list);
    for (const id of [1, 12, 37, 70, 110]) {
      await holds(`/items/${id}`);
      await holds(`/users/${id}`);
    }
    const rooms = ["/admin/entries", "/admin/entries?before=100", "/admin/polls", "/admin/log"];
    for (const room of rooms) await holds(room);
    for (let position = 5; position < 60; position += 9) await holds(`/admin/log/${position}`);
  });

  it("come back in a rejected form as they were typed", async () => {
    for (const text of HOSTILE.filter((_, i) => i % 6 === 0)) {
      await page.goto("/");
      await page.getByLabel("Name").fill(text);
      await page.getByLabel("Message").fill("  ");
      await page.getByRole("button", { name: "Sign" }).click();
      await page.getByRole("link", { name: "Message is empty" }).waitFor();
      assertEquals(await page.getByLabel("Name").inputValue(), text);
      assertEquals(await page.evaluate(foreignParts), []);
    }
    assertEquals(seen, []);
  });

  it("have no effect in a URL", async () => {
    for (const text of HOSTILE.filter((_, i) => i % 6 === 0)) {
      const part = encodeURIComponent(text);
      await holds(`/${part}`);
      await holds(`/entries/mine?thanks=${part}`);
      await holds(`/polls/1/mine?thanks=${part}`);
      await holds(`/receipts/${part}`);
      await holds(`/admin/log?stream=${part}&type=${part}`);
    }
  });

  it("are text in the feed, which stays well-formed", async () => {
    const text = await (await fetch(`${stack.url}/feed.atom`)).text();
    const feed = await page.evaluate(readFeed, text);
    assertEquals(feed.broken, "");
    assertEquals(feed.titles, signed.slice(0, 20));
    assertEquals(feed.contents, signed.slice(0, 20));
  });

  it("are no formulas in a CSV", async () => {
    for (const { id, options } of polls) {
      const csv = await (await fetch(`${stack.url}/polls/${id}/results.csv`)).text();
      const cells = cellsOf(csv);
      assertEquals(cells.length, options.length + 1);
      for (const [i, option] of options.entries()) {
        const cell = cells[i + 1]?.[1] ?? "";
        assert(!/^\s*[=+\-@\t\r]/.test(cell), `a formula: ${cell}`);
        assertEquals(cell.replace(/^'/, ""), option.replace(/^'/, ""));
      }
    }
  });

  it("are JSON that no browser sniffs as HTML", async () => {
    const answer = await fetch(`${stack.url}/items`);
    assertEquals(answer.headers.get("content-type"), "application/json");
    assertEquals(answer.headers.get("x-content-type-options"), "nosniff");
    const items: { description: string }[] = await answer.json();
    assertEquals(items.map(({ description }) => description), HOSTILE.slice(0, items.length));
  });
});

/** Parses RFC 4180 as a spreadsheet does. */
function cellsOf(csv: string): string[][] {
  return [
    ...csv.matchAll(/((?:"(?:[^"]|"")*"|[^",\r\n]*)(?:,(?:"(?:[^"]|"")*"|[^",\r\n]*))*)\r\n/g),
  ]
    .map(([, line = ""]) =>
      [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/g)].map(([, quoted, plain]) =>
        quoted === undefined ? plain ?? "" : quoted.replaceAll('""', '"')
      )
    );
}
