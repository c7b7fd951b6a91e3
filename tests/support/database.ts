// A database of its own for each test file that needs one, in the throw-away server of `deno task test`.
import postgres from "postgres";
import { connect, type Sql } from "$src/connections/postgres.ts";

export type FreshDatabase = AsyncDisposable & {
  /** For a superuser. */
  ownerUrl: string;
  /** For a role of this database's own, which the migrations have yet to make. */
  serviceUrl: string;
  name: string;
};

export async function freshDatabase(): Promise<FreshDatabase> {
  const server = serverUrl();
  const name = `test_${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;
  await asOwner(server, (sql) => sql`create database ${sql(name)}`);
  const ownerUrl = new URL(server);
  ownerUrl.pathname = `/${name}`;
  const serviceUrl = new URL(ownerUrl);
  serviceUrl.username = name;
  serviceUrl.password = crypto.randomUUID();
  return {
    ownerUrl: ownerUrl.href,
    serviceUrl: serviceUrl.href,
    name,
    async [Symbol.asyncDispose]() {
      await asOwner(server, (sql) => sql`drop database if exists ${sql(name)} with (force)`);
      await asOwner(server, (sql) => sql`drop role if exists ${sql(name)}`);
    },
  };
}

/** A client of its own, as another process would have; closed by the caller. */
export function opened(url: string, max = 3): AsyncDisposable & { sql: Sql } {
  const sql = connect(url, { max });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 5 }) };
}

/** PostgreSQL as a superuser, or an error that says how to get one. */
export function serverUrl(): string {
  return required("TEST_OWNER_DATABASE_URL");
}

export function redisUrl(): string {
  return required("TEST_REDIS_URL");
}

function required(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined) throw new Error(`${name} is not set: run this with \`deno task test\``);
  return value;
}

async function asOwner(url: string, statement: (sql: postgres.Sql) => PromiseLike<unknown>) {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await statement(sql);
  } finally {
    await sql.end();
  }
}
