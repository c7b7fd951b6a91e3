// The feed's `updated` times, by which feed readers decide whether to show an entry again.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { guestbook } from "$projections/guestbook.ts";
import { replay } from "$src/projector/replay.ts";
import { type ApiResponse, idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";

type Dates = { id: number; updated: string; published: string };

const inside = (xml: string, name: string) =>
  xml.match(new RegExp(`<${name}>([^<]*)</${name}>`))?.[1] ?? `no ${name}`;

/** The `updated` time of the feed and of each entry. */
function datesOf({ text }: ApiResponse): { updated: string; entries: Dates[] } {
  const entries = (text.match(/<entry>.*?<\/entry>/gs) ?? []).map((entry) => ({
    id: Number(inside(entry, "id").split("/").at(-1)),
    updated: inside(entry, "updated"),
    published: inside(entry, "published"),
  }));
  return { updated: inside(text, "updated"), entries };
}

describe("the feed", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  const feed = (etag?: string) =>
    service.client().get("/feed.atom", etag === undefined ? undefined : { "if-none-match": etag });
  const tagOf = ({ headers }: ApiResponse) => headers.get("etag") ?? "none";

  /** When each event of an entry happened, according to the log. */
  async function times(id: number): Promise<string[]> {
    const rows = await service.place.owner<{ at: Date }[]>`
      select at from events where stream = ${`entry-${id}`} order by version`;
    return rows.map(({ at }) => at.toISOString());
  }

  it("is dated 1970-01-01 while it has no entries", async () => {
    assertEquals(datesOf(await feed()), { updated: new Date(0).toISOString(), entries: [] });
  });

  it("is dated by the last edit of any of its entries, and changes its ETag", async () => {
    const author = service.client();
    const old = idOf(await author.post("/sign", { name: "Ada", message: "First" }));
    const young = idOf(await author.post("/sign", { name: "Bob", message: "Second" }));
    const signed = await feed();
    const [[bobs = ""], [adas = ""]] = [await times(young), await times(old)];
    assertEquals(datesOf(signed), {
      updated: bobs,
      entries: [
        { id: young, updated: bobs, published: bobs },
        { id: old, updated: adas, published: adas },
      ],
    });
    assertEquals((await feed(tagOf(signed))).status, 304);

    for (const message of ["Changed", "Changed again"]) {
      assertEquals((await author.put(`/entries/${old}`, { message })).status, 200);
    }
    const edited = await feed(tagOf(signed));
    assertEquals(edited.status, 200, "a tag from before the edit is no longer known");
    const last = (await times(old)).at(-1) ?? "";
    assert(last > bobs, `${last} after ${bobs}`);
    assertEquals(datesOf(edited), {
      updated: last,
      entries: [
        { id: young, updated: bobs, published: bobs },
        { id: old, updated: last, published: adas },
      ],
    });
    assertEquals((await feed(tagOf(edited))).status, 304);
  });

  it("is the same after a replay", async () => {
    const live = await feed();
    await replay(service.services.sql, guestbook);
    await service.services.cache.backend.clear();
    const replayed = await feed();
    assertEquals([replayed.text, tagOf(replayed)], [live.text, tagOf(live)]);
    assertEquals((await feed(tagOf(live))).status, 304);
  });

  it("leaves the times on other pages unchanged", async () => {
    const [entry] = JSON.parse((await service.client().get("/entries")).text);
    assertEquals(Object.keys(entry), ["id", "name", "message", "created_at"]);
  });
});
