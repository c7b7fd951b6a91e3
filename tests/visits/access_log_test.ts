import { assertEquals } from "@std/assert";
import { after, afterEach, before, beforeEach, describe, it } from "@std/testing/bdd";
import { AccessLog, nginxCounts } from "$src/visits/access_log.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { viewsOf } from "$projections/visits.ts";
import { openService, type Service } from "../support/service.ts";

let made = 0;

async function nginxProgress(sql: Sql): Promise<{ offset: number; lookups: unknown }> {
  const [row] = await sql<{ offset: number; lookups: unknown }[]>`
    select byte_offset as offset, lookups from access_log_progress`;
  if (!row) throw new Error("nothing was counted");
  return row;
}

/** A line as nginx.conf makes Nginx write it. */
function line(of: Record<string, unknown> = {}): string {
  const facts = { method: "GET", uri: "/", status: 200, cache: "HIT", type: "text/html" };
  return `${JSON.stringify({ id: ++made, ...facts, wish: "html", ...of })}\n`;
}

describe("the access log reader", () => {
  let service: Service;
  let dir: string;
  let path: string;
  let accessLog: AccessLog;

  before(async () => {
    service = await openService();
  });
  after(() => service[Symbol.asyncDispose]());
  beforeEach(async () => {
    const { sql, appender } = service.services;
    await sql`update access_log_progress set file = '', byte_offset = 0, lookups = '{}'`;
    dir = await Deno.makeTempDir();
    path = `${dir}/access.log`;
    accessLog = new AccessLog({ sql, appender, path });
  });

  afterEach(() => Deno.remove(dir, { recursive: true }));

  const views = (page = "/") => viewsOf(service.services.sql, page);
  const write = (...lines: string[]) => Deno.writeTextFile(path, lines.join(""), { append: true });

  it("counts views of pages by people, and no other requests", async () => {
    const before = await views();
    await write(
      line(),
      line({ cache: "MISS" }),
      line({ status: 304, type: "" }),
      line({ wish: "json", type: "application/json" }),
      line({ method: "HEAD" }),
      line({ status: 404 }),
      line({ uri: "/users", wish: "json", type: "application/json" }),
      line({ uri: "/results", wish: "json", type: "application/json" }),
      "not a line at all\n",
    );
    await accessLog.follow();
    assertEquals(await views() - before, 4);
    assertEquals(await views("/users"), 0);
    assertEquals(await nginxCounts(service.services.sql), [
      { kind: "/", hits: 5, misses: 1 },
      { kind: "/results", hits: 1, misses: 0 },
      { kind: "/users", hits: 1, misses: 0 },
    ]);
  });

  it("waits for the rest of an incomplete line", async () => {
    const before = await views();
    const [whole, late] = [line(), line()];
    await write(whole, late.slice(0, 20));
    await accessLog.follow();
    assertEquals(await views() - before, 1);
    await write(late.slice(20));
    await accessLog.follow();
    assertEquals(await views() - before, 2);
  });

  it("counts nothing twice when it dies after writing the views, wherever its successor ends", async () => {
    const { sql } = service.services;
    const before = await views();
    await write(line());
    await accessLog.follow();
    const old = await nginxProgress(sql);
    await write(line(), line());
    await accessLog.follow();
    assertEquals(await views() - before, 3);
    await sql`
      update access_log_progress set byte_offset = ${old.offset},
        lookups = ${JSON.stringify(old.lookups)}::text::jsonb`;
    await write(line());
    await accessLog.follow();
    assertEquals(await views() - before, 4);
    assertEquals(await nginxCounts(sql), [{ kind: "/", hits: 4, misses: 0 }]);
  });

  it("finishes rotated files before it begins the new one", async () => {
    const before = await views();
    await write(line());
    await accessLog.follow();
    await write(line());
    await Deno.rename(path, `${path}.2`);
    await write(line(), line());
    await Deno.rename(path, `${path}.1`);
    await Deno.utime(`${path}.2`, new Date(1000), new Date(1000));
    await write(line());
    await accessLog.follow();
    await accessLog.follow();
    assertEquals(await views() - before, 5);
  });
});
