// Polls and the queries about them. votes.ts counts votes.
import type { EventOf } from "$events/mod.ts";
import type { Sql, Tx } from "$src/connections/postgres.ts";
import type { Projection, Table } from "./projection.ts";
import { castStraight, voteHandlers } from "./votes.ts";

export type PollState = "open" | "closed" | "deleted";

export type Poll = {
  id: number;
  question: string;
  choice: "single" | "multiple";
  results: "always" | "after_vote" | "after_close";
  state: PollState;
  closes_at: string | null;
  created_at: string;
  version: number;
  voters: number;
  votes: number;
  options: { id: string; text: string; votes: number }[];
};

type Options = { poll: number; options: { id: string; text: string }[] }[];

async function setOptions(tx: Tx, table: Table, polls: Options) {
  const rows = polls.flatMap(({ poll, options }) =>
    options.map(({ id, text }, ord) => ({ poll, id, text, ord }))
  );
  await tx`
    insert into ${table("poll_options")} as o (poll, id, ord, text, votes)
    select poll, id, ord, text, 0
    from unnest(${rows.map((r) => r.poll)}::int[], ${rows.map((r) => r.id)}::text[],
      ${rows.map((r) => r.ord)}::int[], ${rows.map((r) => r.text)}::text[]) r(poll, id, ord, text)
    on conflict (poll, id) do update set text = excluded.text, ord = excluded.ord`;
}

async function setState(
  tx: Tx,
  events: EventOf<"PollClosed" | "PollReopened" | "PollDeleted">[],
  to: { table: Table; state: PollState },
) {
  const closes = events.map(({ data }) => "closes_at" in data ? data.closes_at : null);
  await tx`
    update ${to.table("polls")} p set state = ${to.state}, version = p.version + 1,
      closes_at = case when ${to.state} = 'open' then c.closes_at else p.closes_at end
    from unnest(${events.map((e) => e.data.id)}::int[], ${closes}::timestamptz[]) c(id, closes_at)
    where p.id = c.id`;
}

async function create(tx: Tx, table: Table): Promise<void> {
  await tx`
    create table ${table("polls")} (
      id         int         primary key,
      question   text        not null,
      choice     text        not null,
      results    text        not null,
      state      text        not null,
      closes_at  timestamptz,
      created_at timestamptz not null,
      version    bigint      not null,
      voters     bigint      not null,
      votes      bigint      not null
    ) with (fillfactor = 50)`;
  await tx`create index on ${table("polls")} (closes_at) where state = 'open'`;
  await tx`
    create table ${table("poll_options")} (
      poll  int    not null,
      id    text   not null,
      ord   int    not null,
      text  text   not null,
      votes bigint not null,
      primary key (poll, id)
    ) with (fillfactor = 50)`;
}

const poll = ({ data: { id } }: { data: { id: number } }) => stale(id, ["polls"]);
const vote = ({ data }: { data: { poll: number } }) => stale(data.poll, ["votes"]);

function stale(id: number, more: string[]) {
  const ofDefault = id === DEFAULT_POLL ? ["/results"] : [];
  return {
    tags: [...more, `poll:${id}`],
    addresses: [
      "/polls",
      `/polls/${id}`,
      `/embed/polls/${id}`,
      `/polls/${id}/results`,
      `/polls/${id}/results.csv`,
      ...ofDefault,
    ],
  };
}

/** The poll behind POST /vote and GET /results. */
export const DEFAULT_POLL = 1;

export const polls: Projection = {
  name: "polls",
  revision: 2,
  tables: ["polls", "poll_options"],
  create,
  dependsOnRows: (type) => type.startsWith("Vote"),

  handlers: {
    PollOpened: async (tx, events, table) => {
      await tx`
        insert into ${table("polls")}
          (id, question, choice, results, state, closes_at, created_at, version, voters, votes)
        select id, question, choice, results, 'open', closes_at, at, 1, 0, 0
        from unnest(${events.map((e) => e.data.id)}::int[],
          ${events.map((e) => e.data.question)}::text[], ${
        events.map((e) => e.data.choice)
      }::text[],
          ${events.map((e) => e.data.results)}::text[],
          ${events.map((e) => e.data.closes_at)}::timestamptz[],
          ${events.map((e) => e.at.toISOString())}::timestamptz[])
          p(id, question, choice, results, closes_at, at)`;
      await setOptions(tx, table, events.map(({ data }) => ({ poll: data.id, ...data })));
    },

    PollChanged: async (tx, events, table) => {
      await tx`
        update ${table("polls")} p set
          question = coalesce(c.question, p.question), results = coalesce(c.results, p.results),
          closes_at = case when c.moved::bool then c.closes_at else p.closes_at end,
          version = p.version + 1
        from unnest(${events.map((e) => e.data.id)}::int[],
          ${events.map((e) => e.data.question ?? null)}::text[],
          ${events.map((e) => e.data.results ?? null)}::text[],
          ${events.map((e) => String(e.data.closes_at !== undefined))}::text[],
          ${events.map((e) => e.data.closes_at ?? null)}::timestamptz[])
          c(id, question, results, moved, closes_at)
        where p.id = c.id`;
      await setOptions(
        tx,
        table,
        events.flatMap(({ data }) =>
          data.options ? [{ poll: data.id, options: data.options }] : []
        ),
      );
    },

    PollClosed: (tx, events, table) => setState(tx, events, { table, state: "closed" }),
    PollReopened: (tx, events, table) => setState(tx, events, { table, state: "open" }),
    PollDeleted: (tx, events, table) => setState(tx, events, { table, state: "deleted" }),

    ...voteHandlers,
  },

  bulkLoad: { type: "VoteCast", firstInStream: true, set: castStraight },

  stale: {
    PollOpened: poll,
    PollChanged: poll,
    PollClosed: poll,
    PollReopened: poll,
    PollDeleted: poll,
    VoteCast: vote,
    VoteChanged: vote,
    VoteWithdrawn: vote,
  },
};

export async function findPoll(sql: Sql, id: number): Promise<Poll | undefined> {
  const [row] = await sql<Poll[]>`
    select p.id, p.question, p.choice, p.results, p.state, p.closes_at, p.created_at, p.version,
      p.voters, p.votes, (
        select json_agg(json_build_object('id', o.id, 'text', o.text, 'votes', o.votes)
          order by o.ord)
        from read.poll_options o where o.poll = p.id) as options
    from read.polls p where p.id = ${id} and p.state <> 'deleted'`;
  return row;
}

export type PollPage = { polls: Poll[]; next: number | null };

/** Newest first, before an id. */
export async function listPolls(
  sql: Sql,
  { limit, before }: { limit: number; before?: number },
): Promise<PollPage> {
  const rows = await sql<Poll[]>`
    select p.id, p.question, p.choice, p.results, p.state, p.closes_at, p.created_at, p.version,
      p.voters, p.votes, (
        select json_agg(json_build_object('id', o.id, 'text', o.text, 'votes', o.votes)
          order by o.ord)
        from read.poll_options o where o.poll = p.id) as options
    from read.polls p
    where p.state <> 'deleted' ${before === undefined ? sql`` : sql`and p.id < ${before}`}
    order by p.id desc limit ${limit + 1}`;
  const found = rows.slice(0, limit);
  return { polls: found, next: rows.length > limit ? found.at(-1)?.id ?? null : null };
}

export async function countOpenPolls(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from read.polls where state = 'open'`;
  return row?.count ?? 0;
}

export async function duePolls(sql: Sql): Promise<{ id: number; version: number }[]> {
  return await sql<{ id: number; version: number }[]>`
    select id, version from read.polls
    where state = 'open' and closes_at <= clock_timestamp() order by closes_at limit 20`;
}
