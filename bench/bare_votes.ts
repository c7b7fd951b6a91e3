// The minimum cost of a durable vote: an insert in group commit.
import { connect } from "$src/connections/postgres.ts";

type Waiting = { option: string; done: () => void; failed: (error: unknown) => void };

/** Resolves when the vote is durable. Votes that arrive during an insert go into the next one. */
export async function openVotes(databaseUrl: string): Promise<(option: string) => Promise<void>> {
  const sql = connect(databaseUrl, { max: 1 });
  await sql`
    create table if not exists bare_votes (
      id bigint generated always as identity primary key,
      option text not null
    )`;
  let waiting: Waiting[] = [];
  let isInserting = false;
  const insertAll = async () => {
    isInserting = true;
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        const options = batch.map(({ option }) => option);
        await sql`insert into bare_votes (option) select unnest(${options}::text[])`;
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
    isInserting = false;
  };
  return (option) =>
    new Promise((done, failed) => {
      waiting.push({ option, done, failed });
      if (!isInserting) void insertAll();
    });
}
