// The highest totals that were shown, so that none goes backwards for a reader who comes to another
// replica next. Where there is but one process, it remembers them itself.
import type { Sql } from "../connections/postgres.ts";
import { reason } from "../errors.ts";
import { log } from "../log.ts";

const MAX_PAGES = 10_000;

type Totals = Map<string, number>;

export class HighWaterMarks {
  /** Undefined where no other process shows any. */
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

  /** Before it is shown. False where that could not be written down: then it must not be. */
  async raise(page: string, total: number): Promise<boolean> {
    if (!this.#shared) {
      if (this.#own.size > MAX_PAGES) this.#own.clear();
      return raiseIn(this.#own, page, total);
    }
    raiseIn(this.#waiting, page, total);
    // Those who come while one is under way go together into the next.
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
 * In one order, so that two replicas never wait for each other. It need not outlive a crash of the
 * database, and so no reader waits for the disk: the setting ends with this statement.
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
