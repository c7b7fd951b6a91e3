// Views are counted outside the log and written down together.
import type { Decision } from "./decision.ts";

export function visitsStream(page: string): string {
  return `visits-${page}`;
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
