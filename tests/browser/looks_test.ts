import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import axe from "axe-core";
import type { Browser, Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { logIn, openBrowser, openStack, visitor, watch } from "./browser.ts";
import {
  fillOf,
  ground,
  isTooWide,
  noteShifts,
  settled,
  shiftSoFar,
  spoil,
  turn,
} from "./in_page.js";
import { furnish } from "./pages.ts";

const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const MOST_BYTES = 30_000;

let stack: Stack;
let browser: Browser;
let paths: string[] = [];
let own: Page;

before(async () => {
  [stack, browser] = await Promise.all([openStack(), openBrowser()]);
  own = await visitor(browser, stack.url);
  paths = await furnish(stack, own);
});

after(async () => {
  await browser?.close();
  await stack?.[Symbol.asyncDispose]();
});

/** The rules that a page breaks, in axe's words. */
async function broken(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const found = await page.evaluate(async (rules) => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run({ runOnly: { type: "tag", values: rules } });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`)
    );
  }, RULES);
  return found.map((problem) => `${new URL(page.url()).pathname} ${problem}`);
}

type Looks = "light" | "dark" | "forced" | "narrow" | "rightToLeft";

const problems: Record<Looks, string[]> = {
  light: [],
  dark: [],
  forced: [],
  narrow: [],
  rightToLeft: [],
};

/** One visit for all views, as loading is what costs. */
async function lookAt(path: string, page: Page): Promise<void> {
  const note = (look: Looks, found: string[]) => problems[look].push(...found);
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce", forcedColors: "none" });
  await page.goto(path);
  for (const fold of await page.locator("summary").all()) await fold.click();
  note("light", await broken(page));
  await page.emulateMedia({ colorScheme: "dark" });
  note("dark", await broken(page));
  await page.setViewportSize({ width: 320, height: 640 });
  const wide = async () => (await page.evaluate(isTooWide)).map((html) => `${path} ${html}`);
  note("narrow", [...await broken(page), ...await wide()]);
  await page.evaluate(turn, "rtl");
  note("rightToLeft", await wide());
  await page.evaluate(turn, "ltr");
  await page.emulateMedia({ forcedColors: "active" });
  note("forced", await unseenBars(path, page));
}

async function unseenBars(path: string, page: Page): Promise<string[]> {
  const behind = await page.evaluate(ground);
  const bars = await page.locator(".bar .fill").all();
  const fills: string[] = await Promise.all(bars.map((bar) => bar.evaluate(fillOf)));
  return fills.filter((fill) => fill === behind).map((fill) => `${path}: a bar in ${fill}`);
}

describe("the visual checks", () => {
  it("detect a page that is broken on purpose", async () => {
    await own.goto("/");
    await own.evaluate(spoil);
    const found = (await broken(own)).map((problem) => problem.split(" ")[1]);
    for (const rule of ["color-contrast:", "label:", "target-size:"]) {
      assert(found.includes(rule), `${rule} not among ${found}`);
    }
    assert((await own.evaluate(isTooWide)).length > 0);
  });
});

describe("every page", () => {
  it("can be checked in every view", async () => {
    for (const path of paths) await lookAt(path, own);
    assert(paths.length > 30);
  });

  it("meets WCAG 2.2 AA in the light scheme", () => assertEquals(problems.light, []));
  it("meets WCAG 2.2 AA in the dark scheme", () => assertEquals(problems.dark, []));
  it("meets WCAG 2.2 AA at 320 pixels, and fits", () => assertEquals(problems.narrow, []));
  it("fits 320 pixels from right to left", () => assertEquals(problems.rightToLeft, []));
  it("shows its bars in forced colours", () => assertEquals(problems.forced, []));

  it(`takes at most ${MOST_BYTES} bytes over the wire, from our server alone, without layout shift`, async () => {
    let most = { path: "", bytes: 0 };
    const problems: string[] = [];
    for (const path of paths) {
      const page = await visitor(browser, stack.url);
      const seen = watch(page.context(), stack.url);
      if (path.startsWith("/admin")) await logIn(page, stack.secrets.ADMIN_TOKEN);
      const bytes = await bytesOf(page, path);
      if (bytes > most.bytes) most = { path, bytes };
      const shift = await page.evaluate(shiftSoFar);
      if (shift > 0.02) problems.push(`${path} moves by ${shift}`);
      problems.push(...seen.map((one) => `${path} ${one}`));
      await page.context().close();
    }
    say(`largest of ${paths.length} pages: ${most.path}, ${most.bytes} bytes`);
    assertEquals(problems, []);
    assert(most.bytes <= MOST_BYTES, `${most.path} takes ${most.bytes} bytes`);
  });
});

/** The bytes of a first visit, headers included, with an empty cache. */
async function bytesOf(page: Page, path: string): Promise<number> {
  await page.addInitScript(noteShifts);
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  let bytes = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => bytes += encodedDataLength);
  await page.goto(path, { waitUntil: "load" });
  await page.evaluate(settled);
  return bytes;
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
