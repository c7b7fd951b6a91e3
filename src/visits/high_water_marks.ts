// The highest totals shown, so that none goes backwards for a reader who comes to another replica
// next. A single process keeps them in memory.
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";

const MAX_PAGES = 10_000;

type Totals = Map<string, number>;

export class HighWaterMarks {
  /** Undefined where no other process shows totals. */
  readonly #shared: Sql | undefined;
  #own: Totals = new Map();
  #waiting: Totals = new Map();
  #next: Promise<boolean> | undefined;
  #writing: Promise<boolean> = Promise.resolve(true);

  constructor(shared: Sql | undefined) {
    this.#shared = shared;
  }

  async read(page: string): Promise<number> {
    if (!this.#shared) return this.#own.get(page) ?? 0;
    const [row] = await this.#shared<{ total: number }[]>`
      select total from shown_totals where page = ${page}`;
    return row?.total ?? 0;
  }

  /** Called before the total is shown. False where it could not be saved: it must not be shown then. */
  async raise(page: string, total: number): Promise<boolean> {
    if (!this.#shared) {
      if (this.#own.size > MAX_PAGES) this.#own.clear();
      return raiseIn(this.#own, page, total);
    }
    raiseIn(this.#waiting, page, total);
    // Totals raised while a write is under way go together into the next one.
    this.#next ??= this.#writing.then(() => this.#writing = this.#write());
    return await this.#next;
  }

  async #write(): Promise<boolean> {
    const totals = this.#waiting;
    this.#waiting = new Map();
    this.#next = undefined;
    try {
      if (this.#shared) await writeTotals(this.#shared, totals);
      return true;
    } catch (error) {
      log.debug("visits.total_not_saved", { error: reason(error) });
      return false;
    }
  }
}

function raiseIn(totals: Totals, page: string, total: number): true {
  totals.set(page, Math.max(total, totals.get(page) ?? 0));
  return true;
}

/**
 * Writes in a fixed order, so that two replicas never wait for each other. The totals need not
 * survive a crash of the database, so no reader waits for the disk: the setting ends with this
 * statement.
 */
async function writeTotals(sql: Sql, totals: Totals): Promise<void> {
  const rows = [...totals].sort(([a], [b]) => a < b ? -1 : 1);
  await sql`
    with soon as materialized (select set_config('synchronous_commit', 'off', true))
    insert into shown_totals as s (page, total)
    select page, total from soon, unnest(${rows.map(([page]) => page)}::text[],
      ${rows.map(([, total]) => total)}::bigint[]) t(page, total)
    on conflict (page) do update set total = excluded.total where s.total < excluded.total`;
}
