import { assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Sql } from "$src/database.ts";
import { pause } from "$src/follower.ts";
import { Metrics } from "$src/metrics.ts";
import { NginxRefresher, OUTSTANDING_MS, WRITTEN_MS } from "$src/refresh.ts";
import type { Copy } from "$src/refresh/copies.ts";

const AT_ONCE = 16;

/** Takes what it is sent, each after so long, and says what it served last. */
class FakeNginx {
  readonly #marks = new Map<string, string>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  underWay = 0;
  takes = (_path: string) => 1;

  constructor() {
    const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
    this.#server = Deno.serve(options, (request) => this.#answer(request));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const mark = request.headers.get("x-tallybook-copy");
    if (mark !== null) {
      this.underWay++;
      await pause(this.takes(pathname));
      this.#marks.set(pathname, mark);
      this.underWay--;
    }
    const copy = this.#marks.get(pathname) ?? "";
    return new Response(null, { headers: { "tallybook-copy": copy, "x-cache-status": "HIT" } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

describe("a refresh whose word cannot be written down", () => {
  let nginx: FakeNginx;
  before(() => {
    nginx = new FakeNginx();
  });
  after(async () => await nginx[Symbol.asyncDispose]());

  it("leaves nothing under way when it fails", async () => {
    let isAway = false;
    let atClean: number | undefined;
    const answer = (parts: TemplateStringsArray) => {
      const text = parts.join("?");
      if (text.includes("unnest") && isAway) {
        return Promise.reject(new Error("the database is away"));
      }
      if (text.includes("do nothing")) atClean = nginx.underWay;
      return Promise.resolve([]);
    };
    const sql = answer as unknown as Sql;
    const refresher = new NginxRefresher({
      sql,
      urls: [nginx.url],
      secret: "a secret of tests",
      metrics: new Metrics(),
    });
    await refresher.takeOver(() => true);
    const paths = Array.from({ length: AT_ONCE + 1 }, (_, i) => `/items/${i + 1}`);
    const copies = paths.map((path): Copy => `json /${path.slice(1)}`);
    // All are written down now, and asked for once more while they live.
    const began = performance.now();
    refresher.want(copies);
    await pause(began + 4000 - performance.now());
    refresher.want(copies);
    // Not due yet, but when the last one has its turn.
    await pause(began + WRITTEN_MS - OUTSTANDING_MS - 150 - performance.now());
    nginx.takes = (path) => path === "/items/1" ? 300 : 1500;
    isAway = true;
    const signal = new AbortController().signal;
    await assertRejects(() => refresher.refresh(new Set(paths), signal), Error, "away");
    await refresher.giveUp(sql);
    assertEquals(atClean, 0);
  });
});
