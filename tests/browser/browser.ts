// The base of the tests in this directory: the whole stack behind Nginx, and Debian's Chromium.
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGS });
}

export function openStack(env: Record<string, string> = {}): Promise<Stack> {
  return startStack({ replicas: 2, env: { RATE_LIMIT: "off", LOG_LEVEL: "warn", ...env } });
}

export type Look = {
  script?: boolean;
  scheme?: "light" | "dark";
  width?: number;
  forced?: boolean;
};

/** A visitor with a browser context of their own. */
export async function visitor(browser: Browser, base: string, look: Look = {}): Promise<Page> {
  const { script = true, scheme = "light", width = 1280, forced = false } = look;
  const context = await browser.newContext({
    baseURL: base,
    javaScriptEnabled: script,
    colorScheme: scheme,
    viewport: { width, height: 800 },
    forcedColors: forced ? "active" : "none",
  });
  context.setDefaultTimeout(10_000);
  return await context.newPage();
}

export async function logIn(page: Page, token: string): Promise<void> {
  await page.goto("/admin");
  await page.getByLabel("Admin token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}

/** Waits for the page's own heading. */
export async function heading(page: Page, name: string | RegExp): Promise<void> {
  await page.getByRole("heading", { level: 1, name }).waitFor();
}

/** Records policy violations, exceptions, and requests to other servers. */
export function watch(context: BrowserContext, base: string): string[] {
  const seen: string[] = [];
  context.on("weberror", (error) => seen.push(`error: ${error.error().message}`));
  context.on("dialog", async (dialog) => {
    seen.push(`dialog: ${dialog.message()}`);
    await dialog.dismiss();
  });
  context.on("console", (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) seen.push(message.text());
  });
  context.on("request", (request) => {
    if (!request.url().startsWith(base)) seen.push(`request: ${request.url()}`);
  });
  return seen;
}

type Sent = { token?: string };

/** Writes as an API client does. */
export async function post(
  base: string,
  path: string,
  body: unknown,
  { token }: Sent = {},
): Promise<{ status: number; json: Record<string, unknown>; cookie: string }> {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    },
    body: JSON.stringify(body),
  });
  const cookie = answer.headers.get("set-cookie")?.split(";", 1)[0] ?? "";
  return { status: answer.status, json: await answer.json(), cookie };
}
