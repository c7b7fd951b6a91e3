// Polls, what was voted for, and the ballots that anybody may count again.
import type { EventOf, EventType } from "$events/mod.ts";
import type { Sql, Tx } from "$src/database.ts";
import type { Projection, Table } from "./projection.ts";

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

export type Ballot = { position: number; seal: string; options: string[]; at: string };

type VoteEvent = EventOf<"VoteCast" | "VoteChanged" | "VoteWithdrawn">;
type Change = { poll: number; option: string; by: number };

/** Many votes, one update an option and one a poll; sent together, as all statements of a handler. */
function count(tx: Tx, table: Table, changes: Change[], voters: Map<number, number>) {
  const sums = new Map<string, Change>();
  for (const { poll, option, by } of changes) {
    const key = `${poll} ${option}`;
    sums.set(key, { poll, option, by: (sums.get(key)?.by ?? 0) + by });
  }
  const options = [...sums.values()].sort((a, b) => a.poll - b.poll);
  const votes = new Map<number, number>();
  for (const { poll, by } of options) votes.set(poll, (votes.get(poll) ?? 0) + by);
  const polls = [...new Set([...votes.keys(), ...voters.keys()])];
  const byOption = tx`
    update ${table("poll_options")} o set votes = o.votes + c.by
    from unnest(${options.map((o) => o.poll)}::int[], ${options.map((o) => o.option)}::text[],
      ${options.map((o) => o.by)}::bigint[]) c(poll, option, by)
    where o.poll = c.poll and o.id = c.option`;
  const byPoll = tx`
    update ${table("polls")} p set votes = p.votes + c.votes, voters = p.voters + c.voters
    from unnest(${polls}::int[], ${polls.map((id) => votes.get(id) ?? 0)}::bigint[],
      ${polls.map((id) => voters.get(id) ?? 0)}::bigint[]) c(id, votes, voters)
    where p.id = c.id`;
  return Promise.all([byOption, byPoll]);
}

function changesOf(events: VoteEvent[]): Change[] {
  return events.flatMap(({ data }) => [
    ...("options" in data ? data.options : []).map((option) => ({
      poll: data.poll,
      option,
      by: 1,
    })),
    ...("previous" in data ? data.previous : []).map((option) => ({
      poll: data.poll,
      option,
      by: -1,
    })),
  ]);
}

function votersBy(events: VoteEvent[], by: number): Map<number, number> {
  const voters = new Map<number, number>();
  for (const { data: { poll } } of events) voters.set(poll, (voters.get(poll) ?? 0) + by);
  return voters;
}

async function setBallots(tx: Tx, table: Table, events: EventOf<"VoteCast" | "VoteChanged">[]) {
  await tx`
    insert into ${table("ballots")} as b (poll, voter, options, position, seal, at)
    select poll, voter, string_to_array(options, ','), position, seal, at
    from unnest(${events.map((e) => e.data.poll)}::int[], ${
    events.map((e) => e.data.voter)
  }::text[],
      ${events.map((e) => e.data.options.join(","))}::text[],
      ${events.map((e) => e.position)}::bigint[], ${events.map((e) => e.seal)}::text[],
      ${
    events.map((e) => e.at.toISOString())
  }::timestamptz[]) v(poll, voter, options, position, seal, at)
    on conflict (poll, voter) do update set
      options = excluded.options, position = excluded.position, seal = excluded.seal,
      at = excluded.at`;
}

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
  await tx`
    create table ${table("ballots")} (
      poll     int         not null,
      voter    text        not null,
      options  text[]      not null,
      position bigint      not null,
      seal     text        not null,
      at       timestamptz not null,
      primary key (poll, voter)
    )`;
  await tx`create index on ${table("ballots")} (poll, position)`;
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
  revision: 1,
  tables: ["polls", "poll_options", "ballots"],
  create,
  leansOnRows: (type) => type.startsWith("Vote"),

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

    VoteCast: (tx, events, table) =>
      Promise.all([
        setBallots(tx, table, events),
        count(tx, table, changesOf(events), votersBy(events, 1)),
      ]),

    VoteChanged: (tx, events, table) =>
      Promise.all([
        setBallots(tx, table, events),
        count(tx, table, changesOf(events), new Map()),
      ]),

    VoteWithdrawn: async (tx, events, table) => {
      await tx`
        delete from ${table("ballots")} b
        using unnest(${events.map((e) => e.data.poll)}::int[],
          ${events.map((e) => e.data.voter)}::text[]) v(poll, voter)
        where b.poll = v.poll and b.voter = v.voter`;
      await count(tx, table, changesOf(events), votersBy(events, -1));
    },
  },

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

export type VoteEventType = Extract<EventType, `Vote${string}`>;

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

export type BallotPage = { until: number; after: string; limit: number };

/**
 * The ballots as they were at one position, a page at a time: from the log, because a voter who
 * changes a vote between two pages of the read model would be in both, or in neither.
 */
export async function ballotsAt(
  sql: Sql,
  poll: number,
  { until, after, limit }: BallotPage,
): Promise<{ stream: string; ballot: Ballot | null }[]> {
  const rows = await sql<
    (Omit<Ballot, "options"> & { stream: string; options: string[] | null })[]
  >`
    select distinct on (stream) stream, position, seal, data->'options' as options, at
    from events
    where stream > ${after} and stream < ${`ballot-${poll}.`} and position <= ${until}
    order by stream, version desc limit ${limit}`;
  return rows.map(({ stream, options, ...place }) => ({
    stream,
    ballot: options === null ? null : { ...place, options },
  }));
}

export function firstBallot(poll: number): string {
  return `ballot-${poll}-`;
}

export async function ballotAt(sql: Sql, poll: number, position: number): Promise<boolean> {
  const rows = await sql`
    select from read.ballots where poll = ${poll} and position = ${position}`;
  return rows.length > 0;
}

export async function duePolls(sql: Sql): Promise<{ id: number; version: number }[]> {
  return await sql<{ id: number; version: number }[]>`
    select id, version from read.polls
    where state = 'open' and closes_at <= clock_timestamp() order by closes_at limit 20`;
}

export type Tally = { voters: number; counts: Map<string, number> };

/** The last word of each voter up to a position, straight from the log. */
export async function tallyAt(sql: Sql, poll: number, position: number): Promise<Tally> {
  const [row] = await sql<{ voters: number; counts: Record<string, number> | null }[]>`
    with latest as (
      select distinct on (stream) type, data from events
      where stream >= ${`ballot-${poll}-`} and stream < ${`ballot-${poll}.`}
        and position <= ${position}
      order by stream, version desc
    ),
    cast_votes as (
      select data from latest
      where type <> 'VoteWithdrawn' and jsonb_typeof(data->'options') = 'array'
    )
    select (select count(*) from cast_votes) as voters, (
      select json_object_agg(option, n) from (
        select option, count(*) as n
        from cast_votes, jsonb_array_elements_text(data->'options') option
        where option is not null group by option
      ) c) as counts`;
  const counts = new Map(Object.entries(row?.counts ?? {}));
  return { voters: row?.voters ?? 0, counts };
}
