// The guestbook's pages.
import { EDIT_MINUTES } from "../commands/guestbook.ts";
import type { Context } from "../http/context.ts";
import type { Home } from "../routes/guestbook.ts";
import type { Mine } from "../routes/signing.ts";
import type { Entry, EntryPage } from "$projections/guestbook.ts";
import { Layout, page } from "./layout.tsx";
import {
  counted,
  Empty,
  Field,
  Form,
  number,
  Pager,
  percent,
  type Refused,
  Summary,
  Text,
  Time,
} from "./parts.tsx";

export function EntryCard({ entry }: { entry: Entry }) {
  return (
    <article class="entry" id={`entry-${entry.id}`}>
      <header dir="auto">
        <b class="name" dir="auto">{entry.name}</b>
        <a class="when" href={`/entries/${entry.id}`}>
          <Time at={entry.created_at} />
        </a>
      </header>
      <Text text={entry.message} />
    </article>
  );
}

export function Entries({ entries }: { entries: Entry[] }) {
  if (entries.length === 0) {
    return (
      <Empty title="Nobody has signed yet">
        <p>Be the first: a name and a few words are enough.</p>
      </Empty>
    );
  }
  return (
    <ol class="entries">
      {entries.map((entry) => (
        <li>
          <EntryCard entry={entry} />
        </li>
      ))}
    </ol>
  );
}

type SignFrame = { action?: string; refused?: Refused; slot?: string };

export function SignForm({ action = "/sign", refused, slot }: SignFrame) {
  return (
    <Form action={action} button="Sign" label="Sign the guestbook" slot={slot}>
      <Field name="name" label="Name" autocomplete="name" refused={refused} />
      <Field name="message" label="Message" rows={4} max={2000} refused={refused} />
    </Form>
  );
}

export type Newest = { entries: Entry[]; total: number; next: number | null; position: number };

/** The newest entries, and the button behind which new ones wait. */
export function NewestEntries({ newest }: { newest: Newest }) {
  return (
    <section
      id="newest"
      aria-labelledby="newest-title"
      data-entries="/entries/live"
      data-position={newest.position}
    >
      <div class="row">
        <h2 id="newest-title">Entries</h2>
        <button type="button" class="new" data-new="" hidden>0 new</button>
      </div>
      <Entries entries={newest.entries} />
      <Pager
        href={newest.next === null ? undefined : `/entries?before=${newest.next}`}
        text="Older entries"
      />
    </section>
  );
}

export function guestbookPage(c: Context, home: Home & { position: number }): string {
  return page(
    <Layout c={c} title={c.var.services.config.SITE_TITLE}>
      <h1 dir="auto">{home.message}</h1>
      <div class="halves">
        <section class="sign" aria-labelledby="sign-title">
          <h2 id="sign-title">Sign the guestbook</h2>
          <SignForm slot="signed" />
          <div id="signed"></div>
          <dl class="figures" id="figures">
            <div>
              <dt>Entries</dt>
              <dd data-total="">{number(home.total)}</dd>
            </div>
            <div>
              <dt>Page views</dt>
              <dd>{number(home.visits)}</dd>
            </div>
            <div>
              <dt>Cache hit rate</dt>
              <dd>{percent(home.cache.rate)}</dd>
            </div>
          </dl>
        </section>
        <NewestEntries newest={home} />
      </div>
    </Layout>,
  );
}

/** The form again, with what was typed and what is to mend. */
export function signAgain(c: Context, refused: Refused): string {
  return page(
    <Layout c={c} title="Error: sign the guestbook">
      <h1>Sign the guestbook</h1>
      <Summary refused={refused} />
      <SignForm refused={refused} />
      <p>
        <a href="/">Back to the guestbook</a>
      </p>
    </Layout>,
  );
}

export function olderPage(c: Context, { entries, next }: EntryPage): string {
  return page(
    <Layout c={c} title="Entries">
      <h1>Entries</h1>
      <p>
        <a href="/">Sign the guestbook</a>
      </p>
      {entries.length === 0
        ? <Empty title="No more entries here" />
        : <Entries entries={entries} />}
      <Pager href={next === null ? undefined : `/entries?before=${next}`} text="Older entries" />
    </Layout>,
  );
}

export function entryPage(c: Context, entry: Entry): string {
  return page(
    <Layout c={c} title={`Entry ${entry.id}`}>
      <h1>Entry {entry.id}</h1>
      <EntryCard entry={entry} />
      <p>
        <a href="/">All entries</a>
      </p>
    </Layout>,
  );
}

function OwnEntry({ entry, base }: { entry: Mine; base: string }) {
  const until = new Date(new Date(entry.created_at).getTime() + EDIT_MINUTES * 60_000);
  const action = `${base}/${entry.id}`;
  return (
    <div class="own">
      <EntryCard entry={entry} />
      {entry.state === "held"
        ? <p class="hint">Only you can see this: it waits until somebody here has read it.</p>
        : ""}
      {entry.editable
        ? (
          <>
            <p class="hint">
              You may change or delete it until <Time at={until} as="moment" />.
            </p>
            <div class="folds">
              <details>
                <summary>Change</summary>
                <EntryForm entry={entry} action={action} />
              </details>
              <details>
                <summary>Delete</summary>
                <Form
                  action={action}
                  method="DELETE"
                  button="Delete for good"
                  tone="danger"
                  label={`Delete entry ${entry.id}`}
                >
                  <p>What you wrote is erased, and cannot be brought back.</p>
                </Form>
              </details>
            </div>
          </>
        )
        : ""}
    </div>
  );
}

type EntryFormFrame = {
  entry: { id: number; name: string; message: string };
  action: string;
  refused?: Refused;
};

function EntryForm({ entry, action, refused }: EntryFormFrame) {
  const prefix = refused ? "" : `${entry.id}-`;
  return (
    <Form action={action} method="PUT" button="Save" label={`Change entry ${entry.id}`}>
      <Field name="name" label="Name" value={entry.name} prefix={prefix} refused={refused} />
      <Field
        name="message"
        label="Message"
        rows={4}
        max={2000}
        value={entry.message}
        prefix={prefix}
        refused={refused}
      />
    </Form>
  );
}

export function changeAgain(c: Context, refused: Refused): string {
  const entry = { id: Number(c.req.param("id")), name: "", message: "" };
  return page(
    <Layout c={c} title="Error: change your entry">
      <h1>Change your entry</h1>
      <Summary refused={refused} />
      <EntryForm entry={entry} action={c.req.path} refused={refused} />
      <p>
        <a href="/entries/mine">Your entries</a>
      </p>
    </Layout>,
  );
}

export type MineQuery = { thanks?: number; changed?: number; deleted?: number };

function titleOf(query: MineQuery): string {
  if (query.thanks) return "Thank you for signing";
  if (query.changed) return "Your entry is changed";
  return query.deleted ? "Your entry is deleted" : "Your entries";
}

type MinePlace = { embedded?: boolean; home?: string; base?: string };

export function mineAsPage(
  c: Context,
  entries: Mine[],
  query: MineQuery,
  { embedded, home = "/", base = "/entries" }: MinePlace = {},
): string {
  const title = titleOf(query);
  const fresh = entries.filter(({ id }) => id === query.thanks || id === query.changed);
  const others = entries.filter((entry) => !fresh.includes(entry));
  return page(
    <Layout c={c} title={title} embedded={embedded}>
      <h1>{title}</h1>
      <div data-answer="">
        {fresh.map((entry) => <OwnEntry entry={entry} base={base} />)}
      </div>
      {others.length > 0 && fresh.length > 0
        ? <h2>Earlier: {counted(others.length, "entry", "entries")}</h2>
        : ""}
      {others.map((entry) => <OwnEntry entry={entry} base={base} />)}
      {entries.length === 0
        ? (
          <Empty title="Nothing here from this browser">
            <p>What you sign is remembered by a cookie, in this browser only.</p>
          </Empty>
        )
        : ""}
      <p>
        <a href={home}>Back to the guestbook</a>
      </p>
    </Layout>,
  );
}
