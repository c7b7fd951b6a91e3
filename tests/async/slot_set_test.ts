import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { SlotSet } from "$src/async/slot_set.ts";

// Many additions and removals, and the heap they leave when only the young generation is collected.
const CHURN = `
  const { SlotSet } = await import(Deno.args[0]);
  const bag = new SlotSet();
  const request = () => ({ body: Array.from({ length: 250 }, Math.random) });
  const here = [];
  const turn = () => {
    here.push(bag.add(request()));
    if (here.length > 5) here.shift()();
  };
  const used = () => { gc({ type: "minor" }); return Deno.memoryUsage().heapUsed; };
  for (let i = 0; i < 1000; i++) turn();
  gc();
  gc();
  const before = used();
  for (let i = 0; i < 20000; i++) {
    turn();
    if (i % 500 === 0) gc({ type: "minor" });
  }
  console.log(used() - before);
`;

describe("SlotSet", () => {
  it("holds the added items that were not removed, in order", () => {
    const bag = new SlotSet<string>();
    const [one, , three] = ["one", "two", "three"].map((item) => bag.add(item));
    one?.();
    one?.();
    bag.add("four");
    three?.();
    assertEquals([...bag], ["two", "four"]);
    assertEquals(bag.size, 2);
  });

  it("yields the remaining items when others are removed during iteration", () => {
    const bag = new SlotSet<() => void>();
    const seen: string[] = [];
    const last = () => leave();
    bag.add(() => {
      seen.push("first");
      last();
    });
    const leave = bag.add(() => seen.push("gone"));
    bag.add(() => seen.push("third"));
    for (const item of bag) item();
    assertEquals(seen, ["first", "third"]);
  });

  it("keeps no removed item reachable, however long it lives", async () => {
    const script = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(script, CHURN);
    const flags = "--v8-flags=--expose-gc,--max-semi-space-size=2";
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--allow-read",
        flags,
        script,
        import.meta.resolve("$src/async/slot_set.ts"),
      ],
    }).output();
    await Deno.remove(script);
    assert(success, new TextDecoder().decode(stderr));
    // 20,000 items of 2 kB went through it.
    const left = Number(new TextDecoder().decode(stdout));
    assert(left < 4_000_000, `${left} bytes are left`);
  });
});
