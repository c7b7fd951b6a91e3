// Views are counted outside the log and written down together.
import type { Decision } from "./decision.ts";

export function visitsStream(page: string): string {
  return `visits-${page}`;
}

/** One view on its own, by somebody who may ask again what the answer was. */
export function countView(page: string, before: number): Decision {
  return {
    streams: [{
      stream: visitsStream(page),
      expected: "any",
      events: [{ type: "VisitsCounted", data: { page, count: 1, shown: before + 1 } }],
    }],
  };
}

export function countVisits(counts: ReadonlyMap<string, number>): Decision {
  return {
    streams: [...counts].filter(([, count]) => count > 0).map(([page, count]) => ({
      stream: visitsStream(page),
      expected: "any",
      events: [{ type: "VisitsCounted", data: { page, count } }],
    })),
  };
}
