import { assertEquals, assertNotEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import postgres from "postgres";
import { freshDatabase, serverUrl } from "./database.ts";

async function one<T>(url: string, ask: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1 });
  try {
    return await ask(sql);
  } finally {
    await sql.end();
  }
}

describe("freshDatabase()", () => {
  it("gives each caller a database of its own and removes it again", async () => {
    let name = "";
    {
      await using first = await freshDatabase();
      await using second = await freshDatabase();
      assertNotEquals(first.name, second.name);
      name = first.name;
      const rows = await one(first.ownerUrl, (sql) => sql`select current_database() as name`);
      assertEquals(rows[0]?.name, name);
    }
    const left = await one(
      serverUrl(),
      (sql) => sql`select datname from pg_database where datname = ${name}`,
    );
    assertEquals(left.length, 0);
  });
});
