// Entries for reading, and how many of them are shown.
import type { Sql, Tx } from "$src/connections/postgres.ts";
import type { Projection, Table } from "./projection.ts";

export type Entry = { id: number; name: string; message: string; created_at: string };

export type EntryRow = Entry & {
  state: "shown" | "held" | "hidden";
  author: string | null;
  edited_at: string | null;
  version: number;
};

export type EntryPage = { entries: Entry[]; next: number | null };

type OfEntry = { data: { id: number }; position: number };

const ids = (events: OfEntry[]) => events.map((event) => event.data.id);

/** Moves the total by the rows that changed state, so that hiding twice counts once. */
async function setState(tx: Tx, events: OfEntry[], to: { state: string; table: Table }) {
  const { state, table } = to;
  await tx`
    with asked(id) as (select unnest(${ids(events)}::int[])),
    before as (select e.id, e.state from ${table("entries")} e join asked using (id)),
    changed as (
      update ${table("entries")} e set state = ${state}, version = version + 1
      from before where before.id = e.id returning before.state as old
    )
    update ${table("entry_totals")} set shown = shown + (
      select coalesce(sum((${state} = 'shown')::int - (old = 'shown')::int), 0) from changed)`;
}

const touched = ({ data: { id } }: { data: { id: number } }) => ({
  tags: ["entries", `entry:${id}`],
  addresses: ["/", "/entries", `/entries/${id}`, "/feed.atom", "/embed/guestbook"],
});

export const guestbook: Projection = {
  name: "guestbook",
  revision: 2,
  tables: ["entries", "entry_totals"],

  async create(tx, table) {
    await tx`
      create table ${table("entries")} (
        id         int         primary key,
        name       text        not null,
        message    text        not null,
        author     text,
        state      text        not null,
        created_at timestamptz not null,
        edited_at  timestamptz,
        version    bigint      not null
      )`;
    await tx`create index on ${table("entries")} (state, id desc)`;
    await tx`create table ${table("entry_totals")} (shown bigint not null)`;
    await tx`insert into ${table("entry_totals")} (shown) values (0)`;
  },

  handlers: {
    EntrySigned: async (tx, events, table) => {
      const clear = events.filter((event) => !event.erased);
      await tx`
        insert into ${table("entries")} (id, name, message, author, state, created_at, version)
        select id, name, message, author, case when held::bool then 'held' else 'shown' end, at, 1
        from unnest(${ids(clear)}::int[], ${clear.map((e) => e.data.name)}::text[],
          ${clear.map((e) => e.data.message)}::text[], ${clear.map((e) => e.data.author)}::text[],
          ${clear.map((e) => String(e.data.held))}::text[], ${
        clear.map((e) => e.at.toISOString())
      }::timestamptz[])
          e(id, name, message, author, held, at)`;
      const shown = clear.filter((event) => !event.data.held).length;
      await tx`update ${table("entry_totals")} set shown = shown + ${shown}`;
    },

    EntryEdited: (tx, events, table) =>
      tx`
        with c as (
          select * from unnest(${ids(events)}::int[],
            ${events.map((e) => e.data.name ?? null)}::text[],
            ${events.map((e) => e.data.message ?? null)}::text[],
            ${events.map((e) => String(e.data.held ?? false))}::text[],
            ${events.map((e) => e.at.toISOString())}::timestamptz[]) c(id, name, message, held, at)
        ),
        taken as (
          select e.id from ${table("entries")} e join c using (id)
          where c.held::bool and e.state = 'shown'
        ),
        edited as (
          update ${table("entries")} e set
            name = coalesce(c.name, e.name), message = coalesce(c.message, e.message),
            state = case when c.held::bool then 'held' else e.state end,
            edited_at = c.at, version = e.version + 1
          from c where e.id = c.id
        )
        update ${table("entry_totals")} set shown = shown - (select count(*) from taken)
        where exists (select from taken)`,

    EntryHidden: (tx, events, table) => setState(tx, events, { state: "hidden", table }),
    EntryRestored: (tx, events, table) => setState(tx, events, { state: "shown", table }),

    EntryErased: (tx, events, table) =>
      tx`
        with gone as (
          delete from ${table("entries")} where id = any(${ids(events)}::int[]) returning state
        )
        update ${table("entry_totals")}
        set shown = shown - (select count(*) from gone where state = 'shown')`,
  },

  stale: {
    EntrySigned: touched,
    EntryEdited: touched,
    EntryHidden: touched,
    EntryRestored: touched,
    EntryErased: touched,
  },
};

export type PageOf = { limit: number; before?: number };

export async function shownEntries(sql: Sql, { limit, before }: PageOf): Promise<EntryPage> {
  const rows = await sql<Entry[]>`
    select id, name, message, created_at from read.entries
    where state = 'shown' ${before === undefined ? sql`` : sql`and id < ${before}`}
    order by id desc limit ${limit + 1}`;
  const entries = rows.slice(0, limit);
  return { entries, next: rows.length > limit ? entries.at(-1)?.id ?? null : null };
}

export type FeedEntry = Entry & { updated_at: string };

/** The newest entries with the time of their last edit, which tells feed readers to show them again. */
export async function feedEntries(sql: Sql, limit: number): Promise<FeedEntry[]> {
  return await sql<FeedEntry[]>`
    select id, name, message, created_at, coalesce(edited_at, created_at) as updated_at
    from read.entries where state = 'shown' order by id desc limit ${limit}`;
}

export async function shownTotal(sql: Sql): Promise<number> {
  const [row] = await sql<{ shown: number }[]>`select shown from read.entry_totals`;
  return row?.shown ?? 0;
}

export async function countHeld(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from read.entries where state = 'held'`;
  return row?.count ?? 0;
}

export async function findEntry(sql: Sql, id: number): Promise<EntryRow | undefined> {
  const [row] = await sql<EntryRow[]>`
    select id, name, message, created_at, state, author, edited_at, version
    from read.entries where id = ${id}`;
  return row;
}

export async function entriesBy(sql: Sql, author: string): Promise<EntryRow[]> {
  return await sql<EntryRow[]>`
    select id, name, message, created_at, state, author, edited_at, version
    from read.entries where author = ${author} order by id desc limit 50`;
}

export async function entriesIn(
  sql: Sql,
  state: EntryRow["state"],
  { limit, before }: PageOf,
): Promise<EntryRow[]> {
  return await sql<EntryRow[]>`
    select id, name, message, created_at, state, author, edited_at, version from read.entries
    where state = ${state} ${before === undefined ? sql`` : sql`and id < ${before}`}
    order by id desc limit ${limit}`;
}
