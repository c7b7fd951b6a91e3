// Counts votes as they come in, and counts them again from the log. Ballots are in the log alone: a
// table of them would repeat it, and each vote would pay for that.
import type { EventOf } from "$events/mod.ts";
import type { Sql, Tx } from "$src/connections/postgres.ts";
import type { LogPage, Projection, Table } from "./projection.ts";

export type Ballot = { position: number; seal: string; options: string[]; at: string };

type VoteEvent = EventOf<"VoteCast" | "VoteChanged" | "VoteWithdrawn">;
type Change = { poll: number; option: string; by: number };

/**
 * Many votes in one update per option and one per poll; sent together, as all statements of a
 * handler.
 */
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

/**
 * Applies first votes, which replace no other vote. The path is strict: a lax one looks into a list
 * in the list, and would accept the option in there.
 */
export async function castStraight(tx: Tx, page: LogPage, table: Table): Promise<void> {
  await tx`
    with cast_votes as materialized (
      select
        case when jsonb_typeof(data->'poll') = 'number' and jsonb_typeof(data->'voter') = 'string'
            and stream = 'ballot-' || (data->>'poll') || '-' || (data->>'voter')
            and (data->>'poll')::int > 0
            and (jsonb_array_length(data->'options') = 1
                and jsonb_typeof(data->'options'->0) = 'string'
              or not jsonb_path_exists(data->'options', 'strict $[*] ? (@.type() <> "string")'))
            and data - array['poll', 'voter', 'options'] = '{}'
          then (data->>'poll')::int
          else ('no vote as it should be: ' || position)::int
        end as poll,
        data->'options' as options
      from ${page}
    ),
    by_option as (
      update ${table("poll_options")} o set votes = o.votes + c.by
      from (
        select poll, option, count(*) as by
        from cast_votes, jsonb_array_elements_text(options) option group by poll, option
      ) c
      where o.poll = c.poll and o.id = c.option
    )
    update ${table("polls")} p set votes = p.votes + c.votes, voters = p.voters + c.voters
    from (
      select poll, sum(jsonb_array_length(options)) as votes, count(*) as voters
      from cast_votes group by poll
    ) c
    where p.id = c.poll`;
}

export const voteHandlers: Projection["handlers"] = {
  VoteCast: (tx, events, table) => count(tx, table, changesOf(events), votersBy(events, 1)),
  VoteChanged: (tx, events, table) => count(tx, table, changesOf(events), new Map()),
  VoteWithdrawn: (tx, events, table) => count(tx, table, changesOf(events), votersBy(events, -1)),
};

export type BallotPage = { until: number; after: string; limit: number };

/**
 * The ballots as of one position, a page at a time: from the log, because a voter who changes a
 * vote between two pages of the read model would be in both, or in neither.
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

/** Whether the vote is its voter's last, and the counts include it. */
export async function isCounted(
  sql: Sql | Tx,
  { stream, position }: { stream: string; position: number },
): Promise<boolean> {
  const rows = await sql`
    select from read.projections
    where name = 'polls' and position >= ${position}
      and not exists (select from events where stream = ${stream} and position > ${position})`;
  return rows.length > 0;
}

export type Tally = { voters: number; counts: Map<string, number> };

/** The last vote of each voter up to a position, straight from the log. */
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
