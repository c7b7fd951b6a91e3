// A guard that moved away would be noticed only by whoever runs the mutants, which takes long.
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { mutants } from "./list.ts";

const root = new URL("../../", import.meta.url);

describe("each mutant", () => {
  for (const { name, file, guard, without } of mutants) {
    it(`takes out ${name}, which is there, and once`, async () => {
      const text = await Deno.readTextFile(new URL(file, root));
      assertEquals(text.split(guard).length - 1, 1, file);
      assertEquals(guard === without, false);
    });
  }
});
