import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { EVENTS } from "$src/log.ts";

describe("each log event", () => {
  it("has a unique name in two parts, and a message that says what failed or happened", () => {
    const names = Object.keys(EVENTS);
    assertEquals(names.filter((name) => !/^[a-z]+\.[a-z_]+$/.test(name)), []);
    const messages = Object.values(EVENTS);
    assertEquals(new Set(messages).size, messages.length);
  });

  it("is listed in docs/operations.md with its message", async () => {
    const text = await Deno.readTextFile(new URL("../docs/operations.md", import.meta.url));
    const rows = new Map(
      [...text.matchAll(/^\| `([\w.]+)`\s*\| \w+\s*\| (.*?)\s*\|$/gm)]
        .map(([, name = "", message]) => [name, message]),
    );
    assertEquals(Object.fromEntries(rows), { ...EVENTS });
    assert(rows.size > 0);
  });
});
