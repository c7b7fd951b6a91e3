// Users for reading.
import type { Sql } from "$src/connections/postgres.ts";
import type { Projection } from "./projection.ts";

export type User = { id: number; name: string; email: string; created_at: string };
export type UserRow = User & { version: number };

type OfUser = { data: { id: number } };

const ids = (events: OfUser[]) => events.map((event) => event.data.id);

const touched = ({ data: { id } }: OfUser) => ({
  tags: ["users", `user:${id}`],
  addresses: ["/users", `/users/${id}`],
});

export const users: Projection = {
  name: "users",
  revision: 1,
  tables: ["users"],

  async create(tx, table) {
    await tx`
      create table ${table("users")} (
        id         int         primary key,
        name       text        not null,
        email      text        not null,
        created_at timestamptz not null,
        version    bigint      not null
      )`;
  },

  handlers: {
    UserRegistered: async (tx, events, table) => {
      const clear = events.filter((event) => !event.erased);
      await tx`
        insert into ${table("users")} (id, name, email, created_at, version)
        select id, name, email, at, 1
        from unnest(${ids(clear)}::int[], ${clear.map((e) => e.data.name)}::text[],
          ${clear.map((e) => e.data.email)}::text[], ${
        clear.map((e) => e.at.toISOString())
      }::timestamptz[])
          u(id, name, email, at)`;
    },

    UserChanged: (tx, events, table) =>
      tx`
        update ${table("users")} u set
          name = coalesce(c.name, u.name), email = coalesce(c.email, u.email),
          version = u.version + 1
        from unnest(${ids(events)}::int[], ${events.map((e) => e.data.name ?? null)}::text[],
          ${events.map((e) => e.data.email ?? null)}::text[]) c(id, name, email)
        where u.id = c.id`,

    UserDeleted: (tx, events, table) =>
      tx`delete from ${table("users")} where id = any(${ids(events)}::int[])`,

    UserErased: (tx, events, table) =>
      tx`delete from ${table("users")} where id = any(${ids(events)}::int[])`,
  },

  stale: {
    UserRegistered: touched,
    UserChanged: touched,
    UserDeleted: touched,
    UserErased: touched,
  },
};

export type UserPage = { users: User[]; next: number | null };

/** Oldest first, after an id. */
export async function listUsers(
  sql: Sql,
  { limit, after }: { limit: number; after: number },
): Promise<UserPage> {
  const rows = await sql<User[]>`
    select id, name, email, created_at from read.users
    where id > ${after} order by id limit ${limit + 1}`;
  const found = rows.slice(0, limit);
  return { users: found, next: rows.length > limit ? found.at(-1)?.id ?? null : null };
}

export async function findUser(sql: Sql, id: number): Promise<UserRow | undefined> {
  const [row] = await sql<UserRow[]>`
    select id, name, email, created_at, version from read.users where id = ${id}`;
  return row;
}
