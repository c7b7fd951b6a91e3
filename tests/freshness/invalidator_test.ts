import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Recorded } from "$events/mod.ts";
import { delay } from "$src/async/delay.ts";
import { NullCache } from "$src/cache/none.ts";
import { Invalidator, type PositionRange } from "$src/freshness/invalidator.ts";
import { NginxVersions } from "$src/freshness/nginx_versions.ts";
import { log } from "$src/log.ts";

const changed = (position: number) =>
  ({ type: "ItemChanged", position, data: { id: 7 } }) as unknown as Recorded;

/** Records the order of what it is asked, as does the Nginx below. */
class RecordingCache extends NullCache {
  isDown = false;
  constructor(readonly steps: string[]) {
    super();
  }

  override async invalidate(): Promise<void> {
    // The slower it is, the more readers come between the two steps.
    await delay(30);
    if (this.isDown) throw new Error("redis is down");
    this.steps.push("cache");
  }
}

describe("committed()", () => {
  it("invalidates the cache before it raises a version, and answers after both", async () => {
    const steps: string[] = [];
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => {
      steps.push("nginx");
      return new Response("epoch");
    });
    const url = `http://127.0.0.1:${server.addr.port}`;
    await using nginx = new NginxVersions({ url, secret: "secret", onFailure: () => {} });
    const cache = new RecordingCache(steps);
    const reports: { ranges: PositionRange[]; done: boolean }[] = [];
    const invalidator = new Invalidator({
      cache,
      nginxes: [nginx],
      onDone: (ranges, done) => void reports.push({ ranges, done }),
    });
    assertEquals(await invalidator.committed([changed(1)]), true);
    assertEquals(steps, ["cache", "nginx"]);

    // Batches that commit meanwhile go together into the next round.
    const rounds = [2, 3, 4].map((position) => invalidator.committed([changed(position)]));
    assertEquals(await Promise.all(rounds), [true, true, true]);
    assertEquals(steps, ["cache", "nginx", "cache", "nginx", "cache", "nginx"]);
    assertEquals(reports.map(({ ranges }) => ranges.map(({ first }) => first)), [[1], [2], [3, 4]]);

    // A page must not be stored anew while the cache still has what it was made of.
    log.setLevel("error");
    cache.isDown = true;
    assertEquals(await invalidator.committed([changed(5)]), false);
    assertEquals(steps.length, 6, "no version is raised");
    assertEquals(reports.at(-1)?.done, false);
  });
});
