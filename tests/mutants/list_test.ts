// Otherwise only a run of the mutants, which takes long, would detect a guard whose text has changed.
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { mutants } from "./list.ts";

const root = new URL("../../", import.meta.url);

describe("each mutant", () => {
  for (const { name, file, guard, without } of mutants) {
    it(`removes ${name}, whose text occurs exactly once`, async () => {
      const text = await Deno.readTextFile(new URL(file, root));
      assertEquals(text.split(guard).length - 1, 1, file);
      assertEquals(guard === without, false);
    });
  }
});
