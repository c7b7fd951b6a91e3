import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { countView, countVisits } from "$src/commands/visits.ts";

describe("countVisits()", () => {
  it("writes one event a page, at any version of the page's stream", () => {
    assertEquals(countVisits(new Map([["/", 3], ["/polls", 1]])), {
      streams: [
        {
          stream: "visits-/",
          expected: "any",
          events: [{ type: "VisitsCounted", data: { page: "/", count: 3 } }],
        },
        {
          stream: "visits-/polls",
          expected: "any",
          events: [{ type: "VisitsCounted", data: { page: "/polls", count: 1 } }],
        },
      ],
    });
  });

  it("leaves out pages without views", () => {
    assertEquals(countVisits(new Map([["/", 0]])), { streams: [] });
  });
});

describe("countView()", () => {
  it("writes one view, and the total that the response shows", () => {
    assertEquals(countView("/", 41), {
      streams: [{
        stream: "visits-/",
        expected: "any",
        events: [{ type: "VisitsCounted", data: { page: "/", count: 1, shown: 42 } }],
      }],
    });
  });
});
