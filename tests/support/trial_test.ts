import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { type Trial, trialsIn, trialTable } from "./trial.ts";

const lines = (trials: Trial[]) => trials.map((one) => `${JSON.stringify(one)}\n`).join("");

describe("the table of trials", () => {
  const there: Trial = { name: "the herd", seed: 7, figures: [], outcome: "not run" };
  const passed: Trial = { ...there, figures: ["10,000 voters", "11 s"], outcome: "passed" };

  it("has the last report of each trial, in order of arrival", () => {
    const other: Trial = { name: "memory", figures: [], outcome: "not run" };
    const failed: Trial = { ...there, outcome: "failed", seconds: 3 };
    assertEquals(trialsIn(lines([there, other, failed, there, passed])), [passed, other]);
  });

  it("keeps the failure of a trial that was started again and did not finish", () => {
    const failed: Trial = { ...there, outcome: "failed" };
    assertEquals(trialsIn(lines([there, failed, there])), [failed]);
  });

  it("shows each trial in a row, its figures one below the other", () => {
    assertEquals(
      trialTable([passed]),
      [
        "trial     seed  took  outcome  figures",
        "the herd  7     -     passed   10,000 voters",
        "                               11 s",
      ].join("\n"),
    );
  });
});
