// What the leader knows of each Nginx: whether it has been told of every change. One that missed
// something is told to raise every version before it counts as told again.
import { delay } from "../async/delay.ts";
import type { Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { log } from "../log.ts";
import type { NginxVersions } from "./nginx_versions.ts";

/** The longest that Nginx answers from a stored page: CACHE_SECONDS in http/nginx_cache.ts. */
export const NGINX_LIFE_MS = 5000;
const PING_MS = 1000;
const RETRY_MS = 50;

type Contact = {
  nginx: NginxVersions;
  /** The epoch under which the database says that it has been told of everything. */
  saved: string | undefined;
  /** Since when it has missed changes. */
  missedSince: number | undefined;
  /** A message to raise everything is under way: nobody knows when it takes effect. */
  isRenewing: boolean;
};

export class NginxContacts {
  readonly #sql: Sql;
  readonly #contacts: Contact[];

  private constructor(sql: Sql, contacts: Contact[]) {
    this.#sql = sql;
    this.#contacts = contacts;
  }

  /** Where the last leader left off; an Nginx it did not vouch for has missed something. */
  static async open(sql: Sql, nginxes: NginxVersions[]): Promise<NginxContacts> {
    const rows = await sql<{ url: string; epoch: string }[]>`select url, epoch from nginx_contacts`;
    const now = performance.now();
    const contacts = nginxes.map((nginx): Contact => {
      const saved = rows.find(({ url }) => url === nginx.url)?.epoch;
      if (saved !== undefined) nginx.expect(saved);
      const isTold = saved !== undefined && nginx.epoch === saved;
      return { nginx, saved, missedSince: isTold ? undefined : now, isRenewing: false };
    });
    return new NginxContacts(sql, contacts);
  }

  /** Keeps in touch until the signal. */
  async keep(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#contacts.map((contact) => this.#keepOne(contact, signal)));
  }

  /**
   * Resolves when each Nginx has raised the versions of these pages, or is excused: it has missed
   * changes, the database says so, and what it held when it was last told has ended.
   */
  async raise(paths: ReadonlySet<string> | "all", signal: AbortSignal): Promise<void> {
    await Promise.all(this.#contacts.map((contact) => this.#raiseOne(contact, paths, signal)));
  }

  async #raiseOne(
    contact: Contact,
    paths: ReadonlySet<string> | "all",
    signal: AbortSignal,
  ): Promise<void> {
    const { nginx } = contact;
    while (!signal.aborted) {
      if (contact.missedSince === undefined) {
        try {
          return await (paths === "all" ? nginx.raiseAll() : nginx.raise(paths));
        } catch (error) {
          await this.#missed(contact, error);
        }
      } else if (!contact.isRenewing && performance.now() - contact.missedSince > NGINX_LIFE_MS) {
        return;
      }
      await delay(RETRY_MS, signal);
    }
    throw new AppError("unavailable", "no longer the leader");
  }

  /** In the database first: the watermark passes what this Nginx has missed. */
  async #missed(contact: Contact, error: unknown): Promise<void> {
    log.warn("nginx.missed_change", { nginx: contact.nginx.url, error: reason(error) });
    contact.missedSince = performance.now();
    await this.#sql`delete from nginx_contacts where url = ${contact.nginx.url}`;
    contact.saved = undefined;
  }

  async #keepOne(contact: Contact, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (contact.nginx.isUp) await this.#touch(contact);
      } catch (error) {
        log.debug("nginx.contact_failed", { nginx: contact.nginx.url, error: reason(error) });
      }
      await delay(contact.missedSince === undefined ? PING_MS : RETRY_MS, signal);
    }
  }

  async #touch(contact: Contact): Promise<void> {
    await contact.nginx.ping();
    if (contact.missedSince !== undefined) await this.#renew(contact);
    const { epoch } = contact.nginx;
    if (epoch === undefined || contact.saved === epoch) return;
    await this.#sql`
      insert into nginx_contacts (url, epoch) values (${contact.nginx.url}, ${epoch})
      on conflict (url) do update set epoch = excluded.epoch`;
    contact.saved = epoch;
  }

  /**
   * From before the message until its answer nothing is excused: what is committed meanwhile may be
   * later than the raise, and its pages may be stored again by then.
   */
  async #renew(contact: Contact): Promise<void> {
    contact.isRenewing = true;
    try {
      await contact.nginx.raiseAll();
      contact.missedSince = undefined;
    } catch (error) {
      contact.missedSince = performance.now();
      throw error;
    } finally {
      contact.isRenewing = false;
    }
  }
}
