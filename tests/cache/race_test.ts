import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { changeItem, createItem, foldItem, itemStream } from "$src/commands/items.ts";
import { parseConfig } from "$src/config/config.ts";
import { openDatabase } from "$src/connections/postgres.ts";
import { log } from "$src/log.ts";
import { type OpenServices, openServices } from "$src/services.ts";
import { prepare } from "$src/start.ts";
import type { CachedValue } from "$src/cache/backend.ts";
import { findItem } from "$projections/items.ts";
import { freshDatabase, redisUrl } from "../support/database.ts";
import { trial } from "../support/trial.ts";
import { rounds } from "../support/rounds.ts";

const ITEMS = 4;
const READERS = 12;
const meta = { actor: "system" } as const;
const some = (ms: number) => new Promise((done) => setTimeout(done, Math.random() * ms));

describe("readers that pause between load and store, racing writers", () => {
  const closing = new AsyncDisposableStack();
  const replicas: OpenServices[] = [];

  before(async () => {
    log.setLevel("warn");
    const database = closing.use(await freshDatabase());
    const redis = new URL(redisUrl());
    redis.pathname = "/7";
    const dataDir = await Deno.makeTempDir();
    closing.defer(() => Deno.remove(dataDir, { recursive: true }));
    const config = parseConfig([{
      DATABASE_URL: database.ownerUrl,
      REDIS_URL: redis.href,
      DATA_DIR: dataDir,
    }]);
    for (let i = 0; i < 2; i++) {
      const opened = closing.use(await openDatabase(config));
      await prepare(config, opened, new AbortController().signal);
      replicas.push(closing.use(await openServices(config, opened)));
    }
    const [first] = replicas;
    for (let id = 1; id <= ITEMS; id++) {
      await first?.appender.append({ ...createItem({ id, name: "0", description: "" }), meta });
    }
  });
  after(() => closing.disposeAsync());

  /** Reads as the route does, but waits before it stores what it loaded. */
  function read({ cache }: OpenServices, id: number): Promise<CachedValue> {
    return cache.read({
      key: `item:${id}`,
      tags: [`item:${id}`],
      projection: "items",
      load: async (sql) => {
        const row = await findItem(sql, id);
        await some(8);
        return row;
      },
    });
  }

  async function write(services: OpenServices, id: number, name: string): Promise<number> {
    const state = foldItem(await services.streams.read(itemStream(id)));
    const decision = changeItem(state, { name, ifMatch: undefined });
    const { last, invalidated } = await services.appender.append({ ...decision, meta });
    assert(await services.freshness.waitFor(last, 10_000, invalidated), "visible in the end");
    return last;
  }

  it(
    "never leave an older value in Redis",
    trial("slow readers against writers", undefined, async (figure) => {
      const count = rounds(1000, 10_000);
      const over = new AbortController();
      let reads = 0;
      const pick = (i: number) => {
        const services = replicas[i % replicas.length];
        if (!services) throw new Error("no replica");
        return services;
      };
      const reading = Array.from({ length: READERS }, async (_, i) => {
        for (; !over.signal.aborted; reads++) {
          await read(pick(i), 1 + Math.floor(Math.random() * ITEMS));
          await some(3);
        }
      });
      const stale: string[] = [];
      let done = 0;
      const writing = Array.from({ length: ITEMS }, async (_, i) => {
        const id = i + 1;
        for (; done < count; done++) {
          const name = `round ${done}`;
          const position = await write(pick(done), id, name);
          for (const services of replicas) {
            const answer = await read(services, id);
            const seen = JSON.parse(answer.text).name;
            if (seen !== name) stale.push(`${name} at ${position}: ${seen} at ${answer.position}`);
          }
        }
      });
      await Promise.all(writing);
      over.abort();
      await Promise.all(reading);
      const [first] = replicas;
      const items = first?.cache.counts.find(({ kind }) => kind === "item");
      figure(
        `${done} writes, ${reads} reads, ${stale.length} stale; one replica's hits ` +
          `${items?.hits}, misses ${items?.misses}`,
      );
      assertEquals(stale, []);
      assert((items?.hits ?? 0) > 0, "Redis was in use");
    }),
  );
});
