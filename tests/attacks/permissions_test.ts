// A hostile dependency under the permissions that the stack gives the service.
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { startStack } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";

describe("a hostile dependency", () => {
  it("reads no other file, connects nowhere else, runs nothing, writes no code", async () => {
    const script = "tests/attacks/hostile_app.ts";
    const starting = startStack({ replicas: 1, app: script });
    await using stack = await starting;
    const said = await waitFor(
      () => {
        const text = Deno.readTextFileSync(stack.keeper.logFile("app-1"));
        return text.includes("tried all") ? text : false;
      },
      20_000,
      "the hostile app to have tried",
    );
    const lines = said.split("\n").filter((line) => line.startsWith("tried "));
    assert(lines.length >= 7, said);
    for (const line of lines.slice(0, -1)) assertEquals(line.split(": ")[1], "NotCapable", line);
  });
});
