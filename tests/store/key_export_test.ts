import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { AppError } from "$src/errors.ts";
import { exportKeys, importKeys } from "$src/store/key_export.ts";
import type { Sql } from "$src/connections/postgres.ts";
import { onBoth } from "./backends.ts";
import { linesOf } from "./chain.ts";

async function written(sql: Sql): Promise<string[]> {
  const parts = await Array.fromAsync(exportKeys(sql));
  return parts.join("").split("\n").filter((line) => line !== "");
}

async function fill(sql: Sql, count: number): Promise<void> {
  await sql`
    insert into keys (subject, key)
    select 'entry-' || n, decode(repeat(lpad(to_hex(n), 8, '0'), 8), 'hex')
    from generate_series(1, ${count}::int) n`;
}

describe("the key file", () =>
  onBoth("the key file", ({ alone }) => {
    alone("carries every key, over several pages", async ({ sql }) => {
      await fill(sql, 12_000);
      await sql`insert into settings (name, value) values ('email_key', 'k'), ('admin_token', 't')
      on conflict (name) do update set value = excluded.value`;
      const lines = await written(sql);
      assertEquals(lines.length, 12_001);
      assertEquals(lines[0], '{"setting":"email_key","value":"k"}');
      assert(!lines.join().includes("admin_token"));

      await sql`truncate keys`;
      await sql`delete from settings`;
      assertEquals(await importKeys(sql, linesOf(lines)), 12_001);
      assertEquals(await written(sql), lines);
    });

    alone("no longer holds the key of an erased subject when written again", async ({ sql }) => {
      await fill(sql, 3);
      await sql`delete from keys where subject = 'entry-2'`;
      assert(!(await written(sql)).join().includes("entry-2"));
    });

    alone("is refused with the number of a broken line, and changes nothing", async ({ sql }) => {
      await fill(sql, 2);
      const before = await written(sql);
      const good = '{"subject":"entry-1","key":"AAAA"}';
      const broken = [
        "",
        "{",
        "[]",
        '{"subject":"x"}',
        '{"subject":"x","key":"%"}',
        '{"setting":"a"}',
      ];
      for (const line of broken) {
        const error = await assertRejects(() => importKeys(sql, linesOf([good, line])), AppError);
        assert(error.message.includes("line 2"), error.message);
        assertEquals(await written(sql), before);
      }
    });
  }));
