import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { count, parseJUnit } from "./junit.ts";

const failed = `<failure message="no">Error: &lt;no&gt;</failure>`;

function report(...cases: [name: string, body?: string][]): string {
  const rows = cases.map(([name, body = ""]) =>
    `<testcase name="${name}" classname="./tests/a_test.ts" time="0.0">${body}</testcase>`
  );
  return `<testsuites><testsuite name="a">${rows.join("\n")}</testsuite></testsuites>`;
}

describe("count()", () => {
  it("leaves out cases that only hold other tests", () => {
    const xml = report(["a", failed], ["a &gt; b", failed], ["a &gt; b &gt; c"], [
      "a &gt; b &gt; d",
      failed,
    ]);
    assertEquals(count(parseJUnit(xml)), {
      passed: ["a > b > c"],
      failed: ["a > b > d"],
      skipped: [],
    });
  });

  it("counts a group that failed although no test in it did", () => {
    const xml = report(["a", failed], ["a &gt; b"]);
    assertEquals(count(parseJUnit(xml)), { passed: ["a > b"], failed: ["a"], skipped: [] });
  });

  it("separates skipped tests, and reads escaped names", () => {
    const xml = report(["&quot;x&quot; &amp; &#39;y&#39;", "<skipped/>"], ["z"]);
    assertEquals(count(parseJUnit(xml)), { passed: ["z"], failed: [], skipped: [`"x" & 'y'`] });
  });
});
