// Tracks whether each Nginx has received every change. One that missed a change must raise every
// version before the leader trusts it again.
import { delay } from "../async/delay.ts";
import type { Sql } from "../connections/postgres.ts";
import { AppError, reason } from "../errors.ts";
import { log } from "../log.ts";
import { CACHE_SECONDS } from "./cached_paths.ts";
import type { NginxVersions } from "./nginx_versions.ts";

export const NGINX_LIFE_MS = CACHE_SECONDS * 1000;
const PING_MS = 1000;
const RETRY_MS = 50;

type Contact = {
  nginx: NginxVersions;
  /** The epoch for which the database records that it has received every change. */
  saved: string | undefined;
  /** Since when it has missed changes. */
  missedSince: number | undefined;
  /** A request to raise every version is under way: it is unknown when it takes effect. */
  isRenewing: boolean;
};

export class NginxContacts {
  readonly #sql: Sql;
  readonly #contacts: Contact[];

  private constructor(sql: Sql, contacts: Contact[]) {
    this.#sql = sql;
    this.#contacts = contacts;
  }

  /** Starts from the last leader's records; an Nginx without a record has missed a change. */
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

  /** Keeps in contact until the signal aborts. */
  async keep(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#contacts.map((contact) => this.#keepOne(contact, signal)));
  }

  /**
   * Resolves when each Nginx has raised the versions of these pages, or is excused: it has missed
   * changes, the database records that, and every page it held at its last contact has expired.
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

  /** Deletes the record before the watermark passes the change that this Nginx has missed. */
  async #missed(contact: Contact, error: unknown): Promise<void> {
    log.warn("nginx.missed_change", { nginx: contact.nginx.url, error: reason(error) });
    // The record first: an Nginx is excused only once the next leader would not trust it either.
    await this.#sql`delete from nginx_contacts where url = ${contact.nginx.url}`;
    contact.saved = undefined;
    contact.missedSince = performance.now();
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
   * No Nginx is excused from before the request until its answer: a commit in between may be later
   * than the raise, and its pages may be stored again by then.
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
