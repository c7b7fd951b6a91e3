import { assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Browser } from "playwright-core";
import { freePort, type Stack } from "$src/cli/stack/mod.ts";
import { openBrowser, openStack, post } from "./browser.ts";

let stack: Stack;
let browser: Browser;
let poll = 0;
const hosts: Deno.HttpServer[] = [];
// To a browser, localhost is another site than 127.0.0.1.
let friend = "";
let stranger = "";

function host(): string {
  const server = Deno.serve(
    { port: freePort(), hostname: "127.0.0.1", onListen: () => {} },
    (request) => {
      const { pathname } = new URL(request.url);
      const what = pathname === "/guestbook" ? "data-guestbook" : `data-poll="${poll}"`;
      const body = pathname === "/frame"
        ? `<iframe src="${stack.url}/polls/${poll}"></iframe>`
        : `<h1>Another site</h1><script src="${stack.url}/embed.js" ${what}></script>`;
      return new Response(body, { headers: { "content-type": "text/html" } });
    },
  );
  hosts.push(server);
  return `http://localhost:${server.addr.port}`;
}

before(async () => {
  [friend, stranger] = [host(), host()];
  [stack, browser] = await Promise.all([openStack({ EMBED_ORIGINS: friend }), openBrowser()]);
  const fields = { question: "Embedded?", options: ["Yes", "No"] };
  const { json } = await post(stack.url, "/polls", fields, { token: stack.secrets.ADMIN_TOKEN });
  poll = Number(json.id);
});

after(async () => {
  await browser?.close();
  await Promise.all(hosts.map((server) => server.shutdown()));
  await stack?.[Symbol.asyncDispose]();
});

describe("a poll in another site's page", () => {
  it("is as tall as its content, takes a vote and recognises the voter again", async () => {
    const page = await browser.newPage();
    await page.goto(friend);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("heading", { name: "Embedded?" }).waitFor();
    await page.waitForFunction(`(() => {
      const height = parseFloat(document.querySelector("iframe").style.height);
      return height > 100 && height !== 480;
    })()`);
    await frame.getByLabel("Yes").check();
    await frame.getByRole("button", { name: "Vote" }).click();
    await frame.getByRole("heading", { name: "Vote received" }).waitFor();
    await page.reload();
    await frame.getByRole("link", { name: "Already voted?" }).click();
    await frame.getByRole("heading", { level: 1, name: "Your vote" }).waitFor();
    assertEquals(await frame.getByLabel("Yes").isChecked(), true);
    const results = await (await fetch(`${stack.url}/polls/${poll}/results`)).json();
    assertEquals(results.voters, 1);
    await page.close();
  });

  it("stays empty on a site that is not configured", async () => {
    const page = await browser.newPage();
    const refused = page.waitForEvent(
      "console",
      (message) => /frame-ancestors/.test(message.text()),
    );
    await page.goto(stranger);
    await refused;
    assertEquals(await page.frameLocator("iframe").getByText("Embedded?").count(), 0);
    await page.close();
  });

  it("is the only page that may be framed", async () => {
    const page = await browser.newPage();
    const refused = page.waitForEvent(
      "console",
      (message) => /frame-ancestors/.test(message.text()),
    );
    await page.goto(`${friend}/frame`);
    await refused;
    assertEquals(await page.frameLocator("iframe").getByText("Embedded?").count(), 0);
    await page.close();
    const headers = async (path: string) =>
      (await fetch(stack.url + path, { headers: { accept: "text/html" } })).headers;
    const own = await headers(`/polls/${poll}`);
    assertEquals(own.get("x-frame-options"), "DENY");
    assertMatch(own.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
    const framed = await headers(`/embed/polls/${poll}`);
    assertEquals(framed.get("x-frame-options"), null);
    assertMatch(framed.get("content-security-policy") ?? "", /default-src 'self'/);
    const ancestors = framed.get("content-security-policy")?.match(/frame-ancestors (.*)$/)?.[1];
    assertEquals(ancestors, friend);
  });

  it("has a cookie that works in a frame, there and nowhere else", async () => {
    const cookieOf = async (path: string) => {
      const answer = await fetch(stack.url + path, {
        method: "POST",
        redirect: "manual",
        body: new URLSearchParams({ option: "Yes" }),
      });
      await answer.body?.cancel();
      return answer.headers.get("set-cookie") ?? "";
    };
    const framed = await cookieOf(`/embed/polls/${poll}/votes`);
    for (const part of ["SameSite=None", "Secure", "Partitioned", "HttpOnly"]) {
      assertMatch(framed, new RegExp(part));
    }
    const own = await cookieOf(`/polls/${poll}/votes`);
    assertMatch(own, /SameSite=Lax/);
    assertEquals(/Partitioned/.test(own), false);
  });
});

describe("the guestbook in another site's page", () => {
  it("can be signed there, and the entry can be changed there", async () => {
    const page = await browser.newPage();
    await page.goto(`${friend}/guestbook`);
    const frame = page.frameLocator("iframe");
    await frame.getByLabel("Name").fill("Framed Freya");
    await frame.getByLabel("Message").fill("From afar");
    await frame.getByRole("button", { name: "Sign" }).click();
    await frame.getByText("Thank you for signing").waitFor();
    await frame.getByRole("link", { name: "Your entries" }).click();
    await frame.locator("summary", { hasText: "Change" }).click();
    await frame.getByLabel("Message").fill("From very far");
    await frame.getByRole("button", { name: "Save" }).click();
    await frame.getByRole("heading", { name: "Your entry is changed" }).waitFor();
    await page.close();
    const entries = await (await fetch(`${stack.url}/entries`)).json();
    assertEquals(entries[0].message, "From very far");
  });
});
