// Every page, each with content: the list that the checks of appearance, size and hostile texts go
// through.
import type { Page } from "playwright-core";
import type { Stack } from "$src/cli/stack/mod.ts";
import { logIn, post } from "./browser.ts";

const SOON = "2999-07-01T12:00:00Z";

async function openPolls(stack: Stack): Promise<number[]> {
  const sent = { token: stack.secrets.ADMIN_TOKEN };
  const polls = [
    { question: "Which tea?", options: ["Green", "Black", "شاي بالنعناع"], closes_at: SOON },
    { question: "Which ones?", options: ["One", "Two", "Three"], choice: "multiple" },
    { question: "Secret until you vote", options: ["Yes", "No"], results: "after_vote" },
    { question: "Over already", options: ["Yes", "No"] },
  ];
  const ids: number[] = [];
  for (const poll of polls) {
    const { json } = await post(stack.url, "/polls", poll, sent);
    ids.push(Number(json.id));
    for (let i = 0; i < 5; i++) {
      await post(stack.url, `/polls/${json.id}/votes`, { option: poll.options[i % 2] });
    }
  }
  await post(stack.url, `/polls/${ids[3]}/close`, {}, sent);
  return ids;
}

/** Signs and votes as this page's own visitor, fills every list, and returns every address. */
export async function furnish(stack: Stack, page: Page): Promise<string[]> {
  const [first, several, secret, closed] = await openPolls(stack);
  for (let i = 0; i < 25; i++) {
    const message = i % 3 === 0 ? "مرحبا بكم في هذا الدفتر" : `See https://example.com/${i}.\nBye!`;
    await post(stack.url, "/sign", { name: i % 3 === 0 ? "ليلى" : `Guest ${i}`, message });
  }
  const email = `${crypto.randomUUID()}@example.com`;
  const user = await post(stack.url, "/users", { name: "Grace", email });
  const item = await post(stack.url, "/items", { name: "Kettle", description: "Whistles." });
  await page.goto("/");
  await page.getByLabel("Name").fill("Me");
  await page.getByLabel("Message").fill("My own words");
  await page.getByRole("button", { name: "Sign" }).click();
  await page.getByText("Thank you for signing").first().waitFor();
  await page.goto(`/polls/${first}`);
  await page.getByLabel("Green").check();
  await page.getByRole("button", { name: "Vote" }).click();
  const receipt = await page.locator(".receipt").innerText();
  await logIn(page, stack.secrets.ADMIN_TOKEN);
  return [
    ...["/", "/entries", "/entries?before=1", "/entries/1", "/entries/mine"],
    ...["/polls", `/polls/${first}`, `/polls/${several}`, `/polls/${secret}`, `/polls/${closed}`],
    ...[`/polls/${first}/mine`, `/polls/${several}/mine`, `/polls/${closed}/mine`],
    ...[`/receipts/${receipt}`, "/users", `/users/${user.json.id}`, "/users?after=999999"],
    ...["/items", `/items/${item.json.id}`, "/docs", "/nowhere", "/items?limit=x"],
    ...["/embed/guestbook", `/embed/polls/${first}`, `/embed/polls/${first}/mine`],
    ...["/admin", "/admin/entries", "/admin/entries?state=hidden", "/admin/polls"],
    ...[`/admin/polls/${first}`, "/admin/log", "/admin/log/1", "/admin/log?stream=none"],
    ...["/admin/projections", "/admin/caches", "/admin/health", "/admin/verify"],
  ];
}
