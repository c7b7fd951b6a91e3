import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { PositionRanges } from "$src/freshness/position_ranges.ts";

describe("PositionRanges", () => {
  it("takeFrom() stops at the first unconfirmed position", () => {
    const ranges = new PositionRanges();
    for (const first of [7, 3, 1]) ranges.add({ first, last: first + 1 });
    assertEquals(ranges.takeFrom(0), 4);
    ranges.add({ first: 5, last: 6 });
    assertEquals(ranges.takeFrom(4), 8);
    assertEquals(ranges.takeFrom(8), 8);
  });

  it("dropUntil() forgets ranges confirmed elsewhere", () => {
    const ranges = new PositionRanges();
    ranges.add({ first: 1, last: 2 });
    ranges.add({ first: 3, last: 9 });
    ranges.dropUntil(3);
    assertEquals(ranges.takeFrom(2), 2);
  });
});
