// Sends each new entry, vote and user to one other address: signed, in order, at least once, from a
// checkpoint of its own, and never because of a replay.
import { createHmac } from "node:crypto";
import type { EventType, Recorded } from "$events/mod.ts";
import type { Config } from "../config/config.ts";
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import { delay } from "../async/delay.ts";
import type { Job } from "./leader.ts";
import { log } from "../log.ts";
import { randomSecret, shared } from "../security/secrets.ts";
import { readHead } from "../store/read.ts";
import { type AppendSignal, subscribe } from "../store/subscribe.ts";

const TYPES: EventType[] = ["EntrySigned", "VoteCast", "VoteChanged", "UserRegistered"];
const TIMEOUT_MS = 5000;
const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 60_000;

type Options = { config: Config; sql: Sql; wakeups: AppendSignal };

export function webhook({ config, sql, wakeups }: Options): Job {
  const url = config.WEBHOOK_URL;
  return async ({ signal }) => {
    if (url === undefined) return;
    while (!signal.aborted) {
      try {
        const secret = config.WEBHOOK_SECRET ?? await shared(sql, "webhook_secret", randomSecret);
        await deliverAll({ sql, wakeups }, { url, secret, signal });
      } catch (error) {
        // The database failed for a moment: delivery resumes at the checkpoint, so nothing is left
        // out.
        log.warn("webhook.failed", { error: reason(error) });
        await delay(FIRST_RETRY_MS, signal);
      }
    }
  };
}

async function deliverAll(
  { sql, wakeups }: Pick<Options, "sql" | "wakeups">,
  target: Target,
): Promise<void> {
  const { signal } = target;
  const after = await checkpoint(sql);
  for await (
    const events of subscribe(sql, wakeups, { after, types: TYPES, signal, limit: 100 })
  ) {
    for (const event of events) {
      if (!await deliver(event, target)) return;
      await saveCheckpoint(sql, event.position);
    }
  }
}

type Target = { url: string; secret: string; signal: AbortSignal };

/** Retries until the receiver accepts the event; false only when the service stops. */
async function deliver(event: Recorded, { url, secret, signal }: Target): Promise<boolean> {
  const { position, type, at, data, erased } = event;
  const body = JSON.stringify({ position, type, at, data, erased });
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  for (let wait = FIRST_RETRY_MS; !signal.aborted; wait = Math.min(wait * 2, LONGEST_RETRY_MS)) {
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "tallybook-signature": `sha256=${signature}`,
          "tallybook-position": String(position),
        },
        body,
        redirect: "error",
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      await answer.body?.cancel();
      if (answer.ok) return true;
      log.warn("webhook.refused", { position, status: answer.status });
    } catch (error) {
      log.warn("webhook.failed", { position, error: reason(error) });
    }
    await delay(wait, signal);
  }
  return false;
}

/** A new webhook begins with the next event. */
async function checkpoint(sql: Sql): Promise<number> {
  const { position } = await readHead(sql);
  await sql`
    insert into checkpoints (site, name, position) values (1, 'webhook', ${position})
    on conflict (site, name) do nothing`;
  const [row] = await sql<{ position: number }[]>`
    select position from checkpoints where site = 1 and name = 'webhook'`;
  return row?.position ?? position;
}

async function saveCheckpoint(sql: Sql, position: number): Promise<void> {
  await sql`
    update checkpoints set position = ${position} where site = 1 and name = 'webhook'`;
}
