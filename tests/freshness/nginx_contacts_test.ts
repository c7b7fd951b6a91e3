// How the leader treats an Nginx that it cannot reach, or reaches again.
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, afterEach, before, beforeEach, describe, it } from "@std/testing/bdd";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { log } from "$src/log.ts";
import { NGINX_LIFE_MS, NginxContacts } from "$src/freshness/nginx_contacts.ts";
import { NginxVersions } from "$src/freshness/nginx_versions.ts";
import { migrate } from "$src/store/migrate.ts";
import { type FreshDatabase, freshDatabase } from "../support/database.ts";
import { waitFor } from "../support/until.ts";

const PATHS = new Set(["/items/1"]);

/** Keeps versions as nginx.conf does, and answers when and as the test says. */
class FakeNginx {
  epoch = "one";
  isDown = false;
  before: (body: string) => Promise<void> | void = () => {};
  readonly bodies: string[] = [];
  readonly #server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (asked) => {
      const body = await asked.text();
      if (this.isDown) return new Response(null, { status: 503 });
      this.bodies.push(body);
      await this.before(body);
      return new Response(this.epoch);
    },
  );

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  raised(): string[] {
    return this.bodies.filter((body) => body !== "");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.shutdown();
  }
}

describe("the leader's contact with an Nginx", () => {
  let database: FreshDatabase;
  let sql: Sql;
  let fake: FakeNginx;
  let over: AbortController;
  const closing: AsyncDisposable[] = [];

  before(async () => {
    log.setLevel("error");
    database = await freshDatabase();
    sql = connect(database.ownerUrl, { max: 2 });
    await migrate(sql);
  });
  after(async () => {
    await sql.end({ timeout: 5 });
    await database[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    fake = new FakeNginx();
    over = new AbortController();
  });
  afterEach(async () => {
    over.abort();
    for (const each of closing.splice(0)) await each[Symbol.asyncDispose]();
    await fake[Symbol.asyncDispose]();
    await sql`delete from nginx_contacts`;
  });

  /** Opens the contacts as each new leader does, in a process of its own. */
  async function lead(): Promise<NginxContacts> {
    const nginx = new NginxVersions({ url: fake.url, secret: "secret", onFailure: () => {} });
    closing.push(nginx);
    const contacts = await NginxContacts.open(sql, [nginx]);
    const keeping = contacts.keep(over.signal);
    closing.push({ [Symbol.asyncDispose]: () => keeping });
    return contacts;
  }

  const saved = async () => {
    const [row] = await sql<{ epoch: string }[]>`
      select epoch from nginx_contacts where url = ${fake.url}`;
    return row?.epoch;
  };
  const untilSaved = (epoch: string | undefined) => waitFor(async () => await saved() === epoch);
  const outcomeOf = (work: Promise<void>) => {
    let isDone = false;
    work.then(() => isDone = true, () => {});
    return () => isDone;
  };

  it("raises every version before it records the Nginx as current", async () => {
    await lead();
    await untilSaved("one");
    assertEquals(fake.raised(), ["*"]);
  });

  it("trusts the record of the leader before", async () => {
    await lead();
    await untilSaved("one");
    const second = await lead();
    await second.raise(PATHS, over.signal);
    assertEquals(fake.raised(), ["*", "/items/1"]);
  });

  it("raises every version when another Nginx answers in its place", async () => {
    const contacts = await lead();
    await untilSaved("one");
    fake.epoch = "two";
    await contacts.raise(PATHS, over.signal);
    assertEquals(fake.raised(), ["*", "/items/1", "*"]);
    await untilSaved("two");
  });

  it("records a missed change before any write goes on without that Nginx", async () => {
    const contacts = await lead();
    await untilSaved("one");
    fake.isDown = true;
    const began = performance.now();
    const raising = contacts.raise(PATHS, over.signal);
    const isDone = outcomeOf(raising);
    await untilSaved(undefined);
    assertEquals(isDone(), false, "what it holds may be fresh by its own clock");
    await raising;
    assert(performance.now() - began >= NGINX_LIFE_MS);
    // Excused from here on: no write waits for it.
    await contacts.raise(PATHS, over.signal);
    // The next leader does not trust it either, however soon it is reachable.
    fake.isDown = false;
    over.abort();
    over = new AbortController();
    await lead();
    await untilSaved("one");
    assertEquals(fake.raised(), ["*", "*"]);
  });

  it("excuses no Nginx while every version is being raised", async () => {
    const contacts = await lead();
    await untilSaved("one");
    fake.isDown = true;
    await contacts.raise(PATHS, over.signal);
    const answered = Promise.withResolvers<void>();
    // Also where an assertion fails: the server waits for its responses.
    closing.push({ [Symbol.asyncDispose]: () => Promise.resolve(answered.resolve()) });
    fake.before = async (body) => {
      if (body !== "*") return;
      await answered.promise;
    };
    fake.isDown = false;
    await waitFor(() => fake.raised().filter((body) => body === "*").length === 2);
    // Committed after the raise took effect: the pages may have been stored again in between.
    const later = contacts.raise(PATHS, over.signal);
    const isDone = outcomeOf(later);
    await contacts.raise(PATHS, AbortSignal.timeout(150)).catch(() => {});
    assertEquals(isDone(), false);
    answered.resolve();
    await later;
    assertEquals(fake.raised().at(-1), "/items/1");
  });

  it("gives up when its term is over", async () => {
    const contacts = await lead();
    await untilSaved("one");
    fake.isDown = true;
    const term = new AbortController();
    const raising = contacts.raise(PATHS, term.signal);
    await untilSaved(undefined);
    term.abort();
    await assertRejects(() => raising);
  });
});
