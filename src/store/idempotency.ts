// Finds earlier answers by their positions; their content is rebuilt from the log.
import type { Sql } from "../connections/postgres.ts";
import { sameRequest } from "./append_batch.ts";
import { type Idempotency, IDEMPOTENCY_HOURS } from "./append_statements.ts";

export type KnownAnswer = { first: number; last: number };

export async function findAnswer(sql: Sql, asked: Idempotency): Promise<KnownAnswer | undefined> {
  const [known] = await sql<(KnownAnswer & { fingerprint: string })[]>`
    select fingerprint, first, last from idempotency
    where scope = ${asked.scope} and key = ${asked.key}
      and at > clock_timestamp() - make_interval(hours => ${IDEMPOTENCY_HOURS})`;
  return known && sameRequest(asked, known) ? known : undefined;
}

export async function forgetOldAnswers(sql: Sql): Promise<void> {
  await sql`
    delete from idempotency
    where at < clock_timestamp() - make_interval(hours => ${IDEMPOTENCY_HOURS})`;
}
