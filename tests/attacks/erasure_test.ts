// Searches for erased text byte by byte: in every response, in Nginx' files and logs, in Redis, the
// database, exports and streams, with the service up, its database frozen, and every replica down.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { Redis } from "ioredis";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { shell } from "$src/cli/stack/shell.ts";
import { CacheStatusClient } from "../support/client.ts";
import { opened } from "../support/database.ts";
import { waitFor } from "../support/until.ts";

const ACCEPTS = ["text/html", "application/json", "*/*", "application/atom+xml"];
/** Nginx removes files not requested for 30 s, and looks for them every ten. */
const GONE_MS = 60_000;

describe("erased, deleted and hidden text", () => {
  let stack: Stack;
  let client: CacheStatusClient;
  const secrets = { erased: "Erasmus-7f3a", deleted: "Delia-91bc", hidden: "Hidalgo-44de" };
  const found: string[] = [];
  let paths: string[] = [];

  before(async () => {
    stack = await startStack({
      replicas: 2,
      env: { RATE_LIMIT: "off", PUBLIC_URL: "http://guestbook.example" },
    });
    client = new CacheStatusClient(stack.url);
    const admin = { authorization: `Bearer ${stack.secrets.ADMIN_TOKEN}` };
    const idOf = ({ text }: { text: string }) => Number(JSON.parse(text).id);
    const sign = async (name: string) =>
      idOf(
        await client.send("POST", "/sign", { name, message: `${name} was here` }, {
          accept: "application/json",
        }),
      );
    const user = async (name: string) =>
      idOf(await client.send("POST", "/users", { name, email: `${name}@example.com` }));
    const [entry, hidden] = [await sign(secrets.erased), await sign(secrets.hidden)];
    const [erased, deleted] = [await user(secrets.erased), await user(secrets.deleted)];
    paths = [
      "/",
      "/entries",
      `/entries/${entry}`,
      `/entries/${hidden}`,
      "/users",
      `/users/${erased}`,
      `/users/${deleted}`,
      "/feed.atom",
      "/embed/guestbook",
    ];
    for (const accept of ACCEPTS) {
      for (const path of paths) await stored(path, accept);
    }
    assert((await client.get(`/entries/${entry}`)).text.includes(secrets.erased));
    const done = [
      await client.send("POST", `/entries/${entry}/erase`, undefined, admin),
      await client.send("POST", `/entries/${hidden}/hide`, undefined, admin),
      await client.send("POST", `/users/${erased}/erase`, undefined, admin),
      await client.send("DELETE", `/users/${deleted}`, undefined, admin),
    ];
    for (const { status, headers } of done) {
      assertEquals([status, headers.get("tallybook-visible")], [200, null]);
    }
  });
  after(async () => {
    client[Symbol.dispose]();
    await stack[Symbol.asyncDispose]();
  });

  async function stored(path: string, accept: string): Promise<void> {
    await client.get(path, accept);
    await client.get(path, accept);
  }

  function look(where: string, text: string, names: string[] = Object.values(secrets)): void {
    for (const name of names) if (text.includes(name)) found.push(`${name} in ${where}`);
  }

  async function lookAtAnswers(when: string): Promise<Set<string>> {
    const seen = new Set<string>();
    for (const accept of ACCEPTS) {
      for (const path of paths) {
        const { status, cache, text } = await client.get(path, accept);
        seen.add(`${status} ${cache}`);
        look(`${path} as ${accept}, ${when}: ${status} ${cache}`, text);
      }
    }
    return seen;
  }

  it("is in no response while the service is up, nor in feeds, streams, exports and as-of reads", async () => {
    await lookAtAnswers("up");
    const admin = { authorization: `Bearer ${stack.secrets.ADMIN_TOKEN}` };
    const others = [
      "/events?limit=100",
      ...paths.filter((path) => /\d$/.test(path)).map((path) => `${path}?asOf=3`),
      "/admin/entries",
    ];
    for (const path of others) {
      const { text } = await client.ask(path, { headers: admin });
      // Hidden text is kept from visitors and stays in the log for the owner.
      look(path, text, path.startsWith("/admin") ? [secrets.erased, secrets.deleted] : undefined);
    }
    const over = AbortSignal.timeout(1500);
    const stream = await fetch(`${stack.url}/entries/live?after=0`, { signal: over });
    let heard = "";
    try {
      for await (const part of stream.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        heard += part;
      }
    } catch {
      // The stream was ended by the signal.
    }
    assert(heard.includes("event:"));
    look("/entries/live", heard);
    assertEquals(found, []);
  });

  it("is not in Redis, the database, its dump or the logs", async () => {
    const redis = new Redis(stack.redisUrl);
    for (const key of await redis.keys("*")) {
      if (await redis.type(key) === "string") look(`redis ${key}`, await redis.get(key) ?? "");
    }
    redis.disconnect();
    await using database = opened(stack.ownerDatabaseUrl, 1);
    const tables = await database.sql<{ name: string }[]>`
      select format('%I.%I', n.nspname, c.relname) as name
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'r' and n.nspname in ('public', 'read')`;
    for (const { name } of tables) {
      // The admin desk shows hidden entries, so their rows stay.
      const names = name === "read.entries" ? [secrets.erased, secrets.deleted] : undefined;
      const rows = await database.sql.unsafe(`select t::text as text from ${name} t`);
      for (const { text } of rows) look(name, String(text), names);
    }
    const logs = await shell('cat "$1"/logs/* "$1"/nginx/logs/*', stack.dir);
    look("logs", logs);
    assertEquals(found, []);
  });

  it("is not served stale by Nginx while the database is frozen", async () => {
    await stack.postgres.pause();
    await using _resumed = { [Symbol.asyncDispose]: () => stack.postgres.resume() };
    // Past the life of everything stored: from now on Nginx serves stale.
    await new Promise((done) => setTimeout(done, 5500));
    for (const accept of ["application/json", "text/html"]) {
      await Promise.all(paths.map(async (path) => {
        const { status, cache, text } = await client.get(path, accept);
        look(`${path}, database frozen: ${status} ${cache}`, text);
      }));
    }
    assertEquals(found, []);
  });

  it("is not served while every replica is down, neither at once nor after a minute", async () => {
    await waitFor(async () => (await client.get("/items")).status === 200);
    for (const app of stack.apps) await app.kill();
    const began = performance.now();
    const seen = await lookAtAnswers("down");
    assert(
      [...seen].every((each) => /^(200 (HIT|STALE)|404 (HIT|STALE)|503)/.test(each)),
      `${[...seen]}`,
    );
    await waitFor(async () => (await filesWithText()).length === 0, GONE_MS, "files to be gone");
    await new Promise((done) =>
      setTimeout(done, Math.max(0, GONE_MS - (performance.now() - began)))
    );
    await lookAtAnswers("down for a minute");
    assertEquals(found, []);
    assertEquals(await filesWithText(), []);
  });

  async function filesWithText(): Promise<string[]> {
    const pattern = Object.values(secrets).join("|");
    const names = await shell('grep -rlE "$2" "$1"/nginx/cache || true', stack.dir, pattern);
    return names.split("\n").filter((name) => name !== "");
  }
});
