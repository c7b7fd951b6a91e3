import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Recorded, schemas } from "$events/mod.ts";
import { staleAfter } from "$projections/mod.ts";
import { isCachedPath } from "$src/freshness/cached_paths.ts";

const ID = 1;
const SUBJECTS: Record<string, string[]> = {
  Entry: ["/", "/entries", `/entries/${ID}`, "/feed.atom"],
  User: ["/users", `/users/${ID}`],
  Item: ["/items", `/items/${ID}`],
  Poll: ["/polls", `/polls/${ID}`, `/polls/${ID}/results`, `/polls/${ID}/results.csv`, "/results"],
  Vote: ["/polls", `/polls/${ID}`, `/polls/${ID}/results`, `/polls/${ID}/results.csv`, "/results"],
};
// Counts may be a few seconds old; no response depends on who holds an e-mail address alone.
const UNSEEN = ["Visits", "Email"];

const eventOf = (type: string) => ({ type, data: { id: ID, poll: ID } }) as unknown as Recorded;

describe("a path that Nginx may store", () => {
  it("is invalidated by every event of its subject", () => {
    for (const type of Object.keys(schemas)) {
      const [subject] = type.match(/^[A-Z][a-z]+/) ?? [""];
      if (UNSEEN.includes(subject)) continue;
      const wanted = SUBJECTS[subject] ?? [];
      assert(wanted.length > 0, `a subject that this test does not know: ${type}`);
      const { addresses } = staleAfter([eventOf(type)]);
      assertEquals(wanted.filter((path) => !addresses.has(path)), [], type);
    }
  });

  it("has one spelling only", () => {
    const all = Object.values(SUBJECTS).flat();
    assertEquals(all.filter((path) => !isCachedPath(path, "https://example.com")), []);
    const others = all.flatMap((path) => [
      `${path}/`,
      `/${path}`,
      `${path}?x`,
      path.replace(/\d/, "0$&"),
      path.replace(/\d/, "%31"),
      path.toUpperCase(),
      `${path}\n`,
      `${path} x`,
    ]).filter((path) => !all.includes(path));
    assertEquals(others.filter((path) => isCachedPath(path, "https://example.com")), []);
  });

  it("is /feed.atom only where PUBLIC_URL makes its links, not a Host header", () => {
    assertEquals(isCachedPath("/feed.atom", undefined), false);
  });
});
