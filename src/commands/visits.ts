// Commands on page views, which are counted outside the log and appended in batches.
import type { Decision } from "./decision.ts";

export function visitsStream(page: string): string {
  return `visits-${page}`;
}

/** One view with the total that its answer showed, so that an idempotent repeat answers the same. */
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
