// Components: entries and the signing form, on our own pages and in frames on other sites.
import type { Entry } from "$projections/guestbook.ts";
import { Empty, Field, Form, Pager, type RejectedForm, Text, Time } from "./parts.tsx";

export function EntryCard({ entry }: { entry: Entry }) {
  return (
    <article class="entry" id={`entry-${entry.id}`}>
      <header dir="auto">
        <b class="name">{entry.name}</b>
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

type SignFrame = { action?: string; refused?: RejectedForm; slot?: string };

export function SignForm({ action = "/sign", refused, slot }: SignFrame) {
  return (
    <Form action={action} button="Sign" label="Sign the guestbook" slot={slot}>
      <Field name="name" label="Name" autocomplete="name" refused={refused} />
      <Field name="message" label="Message" rows={4} max={2000} refused={refused} />
    </Form>
  );
}

export type Newest = { entries: Entry[]; total: number; next: number | null; position: number };

/** The newest entries, and the button that shows those signed since. */
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
