// Forced colours, and reduced motion.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser, Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { heading, openBrowser, openStack, post, visitor } from "./browser.ts";
import {
  boundaries,
  edgeOf,
  moving,
  noteShifts,
  outlineOf,
  ringOf,
  shiftSoFar,
} from "./in_page.js";
import { furnish } from "./pages.ts";

let stack: Stack;
let browser: Browser;
let own: Page;
let paths: string[] = [];

before(async () => {
  [stack, browser] = await Promise.all([openStack(), openBrowser()]);
  own = await visitor(browser, stack.url);
  paths = await furnish(stack, own);
});

after(async () => {
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

async function openPoll(): Promise<number> {
  const poll = { question: "Tea?", options: ["Yes", "No"] };
  const { json } = await post(stack.url, "/polls", poll, { token: stack.secrets.ADMIN_TOKEN });
  return Number(json.id);
}

describe("in forced colours", () => {
  for (const scheme of ["light", "dark"] as const) {
    it(`every field and button has an edge and every focus a ring, in the ${scheme} scheme`, async () => {
      await own.emulateMedia({ forcedColors: "active", colorScheme: scheme });
      const problems: string[] = [];
      for (const path of paths) {
        await own.goto(path);
        for (const fold of await own.locator("summary").all()) await fold.click();
        for (const html of await own.evaluate(boundaries)) problems.push(`${path} ${html}`);
        await own.keyboard.press("Tab");
        const ring = await own.evaluate(ringOf);
        if (ring !== "seen") problems.push(`${path} focus: ${ring}`);
      }
      await own.emulateMedia({ forcedColors: "none", colorScheme: "light" });
      assertEquals(problems, []);
    });
  }

  it("the chosen option and the current page are marked by more than a colour of ours", async () => {
    const id = await openPoll();
    const page = await visitor(browser, stack.url, { forced: true });
    await page.goto(`/polls/${id}`);
    const lines = (name: string) =>
      page.locator("label.option", { hasText: name }).evaluate(outlineOf);
    await page.getByLabel("Yes").check();
    assertEquals([await lines("Yes"), (await lines("No"))[0]], [["solid", "2px"], "none"]);
    const edge = (name: string) =>
      page.getByRole("navigation", { name: "Main" }).getByRole("link", { name }).evaluate(edgeOf);
    await page.goto("/polls");
    assert(await edge("Polls") !== await edge("Items"));
    await page.context().close();
  });
});

describe("animations", () => {
  async function votesSeen(reducedMotion: "reduce" | "no-preference"): Promise<string[]> {
    const id = await openPoll();
    const page = await visitor(browser, stack.url);
    await page.emulateMedia({ reducedMotion });
    await page.goto(`/polls/${id}`);
    await page.getByText("Updates by itself").waitFor();
    await page.evaluate(moving);
    await post(stack.url, `/polls/${id}/votes`, { option: "Yes" });
    await page.locator("[data-votes]", { hasText: /^1$/ }).waitFor();
    // Two frames: an animation that was to begin has begun.
    const seen = await page.evaluate(moving);
    await page.context().close();
    return seen;
  }

  it("run when a vote comes in", async () => {
    const seen = await votesSeen("no-preference");
    assert(seen.includes("transitionrun width"), seen.join(", "));
  });

  it("do not run with prefers-reduced-motion", async () => {
    assertEquals(await votesSeen("reduce"), []);
    await own.emulateMedia({ reducedMotion: "reduce" });
    for (const path of paths) {
      await own.goto(path);
      assertEquals(await own.evaluate(moving), [], path);
    }
  });
});

describe("a message that arrives while the page is read", () => {
  const views = [1280, 320].flatMap((width) =>
    ["/", "/admin/log"].map((path) => ({ path, width }))
  );

  for (const { path, width } of views) {
    it(`shifts nothing on ${path}, ${width} pixels wide`, async () => {
      await own.emulateMedia({ reducedMotion: "no-preference" });
      await own.setViewportSize({ width, height: 800 });
      await own.addInitScript(noteShifts);
      const opened = own.waitForResponse(/\/live/);
      await own.goto(path);
      await opened;
      await post(stack.url, "/sign", { name: "Eve", message: "From elsewhere" });
      await own.getByRole("button", { name: /^\d+ new$/ }).waitFor();
      assertEquals(await own.evaluate(shiftSoFar), 0);
      await own.getByRole("button", { name: /^\d+ new$/ }).click();
      await heading(own, /./);
    });
  }
});
