// Items for reading.
import type { Sql } from "$src/connections/postgres.ts";
import type { Projection } from "./projection.ts";

export type Item = { id: number; name: string; description: string };
export type ItemRow = Item & { created_at: string; version: number };

type OfItem = { data: { id: number } };

const ids = (events: OfItem[]) => events.map((event) => event.data.id);

const touched = ({ data: { id } }: OfItem) => ({
  tags: ["items", `item:${id}`],
  addresses: ["/items", `/items/${id}`],
});

export const items: Projection = {
  name: "items",
  revision: 1,
  tables: ["items"],

  async create(tx, table) {
    await tx`
      create table ${table("items")} (
        id          int         primary key,
        name        text        not null,
        description text        not null,
        created_at  timestamptz not null,
        version     bigint      not null
      )`;
  },

  handlers: {
    ItemCreated: (tx, events, table) =>
      tx`
        insert into ${table("items")} (id, name, description, created_at, version)
        select id, name, description, at, 1
        from unnest(${ids(events)}::int[], ${events.map((e) => e.data.name)}::text[],
          ${events.map((e) => e.data.description)}::text[],
          ${events.map((e) => e.at.toISOString())}::timestamptz[]) i(id, name, description, at)`,

    ItemChanged: (tx, events, table) =>
      tx`
        update ${table("items")} i set
          name = coalesce(c.name, i.name), description = coalesce(c.description, i.description),
          version = i.version + 1
        from unnest(${ids(events)}::int[], ${events.map((e) => e.data.name ?? null)}::text[],
          ${events.map((e) => e.data.description ?? null)}::text[]) c(id, name, description)
        where i.id = c.id`,

    ItemDeleted: (tx, events, table) =>
      tx`delete from ${table("items")} where id = any(${ids(events)}::int[])`,
  },

  bulkLoad: {
    type: "ItemCreated",
    firstInStream: true,
    set: (tx, page, table) =>
      tx`
        insert into ${table("items")} (id, name, description, created_at, version)
        select
          case when jsonb_typeof(data->'id') = 'number' and stream = 'item-' || (data->>'id')
              and (data->>'id')::int > 0
              and jsonb_typeof(data->'name') = 'string'
              and jsonb_typeof(data->'description') = 'string'
              and data - array['id', 'name', 'description'] = '{}'
            then (data->>'id')::int end,
          data->>'name', data->>'description', at, 1
        from ${page}`,
  },

  stale: { ItemCreated: touched, ItemChanged: touched, ItemDeleted: touched },
};

export type ItemPage = { items: Item[]; next: number | null };

/** Oldest first, after an id. */
export async function listItems(
  sql: Sql,
  { limit, after }: { limit: number; after: number },
): Promise<ItemPage> {
  const rows = await sql<Item[]>`
    select id, name, description from read.items
    where id > ${after} order by id limit ${limit + 1}`;
  const found = rows.slice(0, limit);
  return { items: found, next: rows.length > limit ? found.at(-1)?.id ?? null : null };
}

export async function findItem(sql: Sql, id: number): Promise<ItemRow | undefined> {
  const [row] = await sql<ItemRow[]>`
    select id, name, description, created_at, version from read.items where id = ${id}`;
  return row;
}
