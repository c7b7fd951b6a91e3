// Counts the report of `deno test --junit-path`. A `describe` appears there as a test case beside the
// tests in it, so only cases without any below them are counted.

export type Case = { name: string; file: string; outcome: "passed" | "failed" | "skipped" };

export type Counts = { passed: string[]; failed: string[]; skipped: string[] };

const TESTCASE = /<testcase\s([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g;

export function parseJUnit(xml: string): Case[] {
  return [...xml.matchAll(TESTCASE)].map(([, attributes = "", , body = ""]) => ({
    name: attribute(attributes, "name"),
    file: attribute(attributes, "classname"),
    outcome: /<(failure|error)\b/.test(body)
      ? "failed"
      : /<skipped\b/.test(body)
      ? "skipped"
      : "passed",
  }));
}

export function count(cases: Case[]): Counts {
  const counts: Counts = { passed: [], failed: [], skipped: [] };
  for (const each of cases) {
    const below = cases.filter(({ name }) => name.startsWith(`${each.name} > `));
    if (below.length === 0) counts[each.outcome].push(each.name);
    // A hook failed: no case below reports it.
    else if (each.outcome === "failed" && below.every(({ outcome }) => outcome !== "failed")) {
      counts.failed.push(each.name);
    }
  }
  return counts;
}

function attribute(text: string, name: string): string {
  return unescape(text.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1] ?? "");
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function unescape(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex, decimal, name) =>
      hex
        ? String.fromCodePoint(parseInt(hex, 16))
        : decimal
        ? String.fromCodePoint(Number(decimal))
        : ENTITIES[name] ?? whole,
  );
}
