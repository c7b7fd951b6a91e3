// A guessed token takes the same time wherever it differs from the right one: only digests are compared,
// in constant time. Shown by the code and not by a clock: on a shared machine a clock measures the other
// work.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Hono } from "hono";
import type { Env } from "$src/http/context.ts";
import { isAdmin } from "$src/http/access.ts";
import { RateLimit } from "$src/http/rate_limit.ts";
import { digest, sameDigest } from "$src/security/secrets.ts";
import type { Services } from "$src/http/services.ts";

const TOKEN = "the-token-of-this-test-and-no-other";

const guesses: Record<string, string> = {
  "wrong from the first character": `X${TOKEN.slice(1)}`,
  "right up to the last": `${TOKEN.slice(0, -1)}X`,
  "one too many": `${TOKEN}X`,
  "one too few": TOKEN.slice(0, -1),
  "its digest": digest(TOKEN),
};

type Tried = { status: string; read: string[] };

/** The guard of every request, with a record of what it reads from the services. */
async function guarded(limits: RateLimit, guess: string, client = "a client"): Promise<Tried> {
  const read: string[] = [];
  const known: Record<string, unknown> = { adminDigest: () => Promise.resolve(digest(TOKEN)) };
  const services = new Proxy(known, {
    get(target, name) {
      read.push(String(name));
      return target[String(name)];
    },
  }) as unknown as Services;
  const app = new Hono<Env>();
  app.onError((error, c) => c.text("code" in error ? String(error.code) : error.message));
  app.get("/", async (c) => {
    c.set("services", services);
    c.set("client", client);
    c.set("limits", limits);
    return c.text(await isAdmin(c) ? "admin" : "visitor");
  });
  const answer = await app.request("/", { headers: { authorization: `Bearer ${guess}` } });
  return { status: await answer.text(), read };
}

async function filesNaming(word: string): Promise<string[]> {
  const src = new URL("../../src/", import.meta.url);
  const found: string[] = [];
  async function walk(dir: URL): Promise<void> {
    for await (const { name, isDirectory } of Deno.readDir(dir)) {
      const url = new URL(isDirectory ? `${name}/` : name, dir);
      if (isDirectory) await walk(url);
      else if ((await Deno.readTextFile(url)).includes(word)) {
        found.push(url.pathname.slice(src.pathname.length));
      }
    }
  }
  await walk(src);
  return found.sort();
}

describe("a guessed token", () => {
  it("is compared as a digest, in constant time", () => {
    const body = sameDigest.toString().replace(/\s+/g, " ");
    assertMatch(body, /return timingSafeEqual\(Buffer\.from\(digest\(secret\)\), .*expected/);
    assert(!/[=!]==?|for \(|every/.test(body), body);
    assertEquals(sameDigest(TOKEN, digest(TOKEN)), true);
    for (const [name, guess] of Object.entries(guesses)) {
      assertEquals(sameDigest(guess, digest(TOKEN)), false, name);
    }
  });

  it("is compared by each request's guard with the digest and nothing else", async () => {
    const limits = new RateLimit();
    assertEquals(await guarded(limits, TOKEN), { status: "admin", read: ["adminDigest"] });
    for (const guess of Object.values(guesses)) {
      const tried = await guarded(limits, guess);
      assertEquals(tried, { status: "unauthorized", read: ["adminDigest"] }, guess);
    }
  });

  it("cannot be compared with the token's text, which only two files read", async () => {
    const files = await filesNaming("ADMIN_TOKEN");
    const serving = files.filter((file) => !file.startsWith("cli/"));
    assertEquals(serving, ["config/config.ts", "security/secrets.ts"]);
  });

  it("is refused as too many after ten wrong ones, while the right token is still accepted", async () => {
    const limits = new RateLimit();
    for (let i = 0; i < 10; i++) {
      assertEquals((await guarded(limits, `guess ${i}`)).status, "visitor", "no token at all");
      assertEquals((await guarded(limits, `guess-${i}`)).status, "unauthorized");
    }
    for (let i = 0; i < 3; i++) {
      assertEquals((await guarded(limits, `guess-${i}`)).status, "too_many");
      assertEquals((await guarded(limits, TOKEN)).status, "admin");
    }
    assertEquals((await guarded(limits, "guess-1", "another client")).status, "unauthorized");
  });
});
