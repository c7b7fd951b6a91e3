import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { cycles, forbidden, mermaid, readImports, ROOMS } from "./imports.ts";

const imports = await readImports();

describe("imports between files", () => {
  it("form no cycle, not even of types", () => {
    assert(imports.size > 100);
    assertEquals(cycles(imports), []);
  });

  it("follow the allowed directions between rooms", () => {
    assertEquals(forbidden(imports), []);
  });

  it("are reported where they are forbidden", () => {
    const wrong = new Map([
      ["src/pages/polls.tsx", ["src/routes/polls.ts"]],
      ["src/store/read.ts", ["src/http/context.ts"]],
      ["src/routes/polls.ts", ["src/pages/polls.tsx", "src/services.ts"]],
    ]);
    assertEquals(forbidden(wrong), [
      "src/pages/polls.tsx -> src/routes/polls.ts",
      "src/store/read.ts -> src/http/context.ts",
      "src/routes/polls.ts -> src/services.ts",
    ]);
    assertEquals(cycles(wrong), [["src/pages/polls.tsx", "src/routes/polls.ts"]]);
  });

  it("follow one order of rooms", () => {
    assertEquals(cycles(new Map(Object.entries(ROOMS))), []);
  });

  it("are drawn in CONTRIBUTING.md as they are allowed", async () => {
    const text = await Deno.readTextFile(new URL("../../CONTRIBUTING.md", import.meta.url));
    assert(text.includes(mermaid()), `CONTRIBUTING.md should show:\n${mermaid()}`);
  });

  it("leave at most seven files outside rooms in src", async () => {
    const loose: string[] = [];
    for await (const { name, isFile } of Deno.readDir(new URL("../../src/", import.meta.url))) {
      if (isFile) loose.push(name);
    }
    assert(loose.length <= 7, loose.join(", "));
  });
});
