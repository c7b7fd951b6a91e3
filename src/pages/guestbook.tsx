// The pages of the guestbook.
import type { Context } from "../http/context.ts";
import type { Home } from "../schemas/guestbook.ts";
import type { Entry, EntryPage } from "$projections/guestbook.ts";
import { Entries, EntryCard, NewestEntries, SignForm } from "./entry_parts.tsx";
import { Layout, page } from "./layout.tsx";
import { hitRate, number, Pager, PastEnd, type RejectedForm, Summary } from "./parts.tsx";

export function guestbookPage(c: Context, home: Home & { position: number }): string {
  return page(
    <Layout c={c} title={c.get("services").config.SITE_TITLE}>
      <h1 dir="auto">{home.message}</h1>
      <div class="halves">
        <section aria-labelledby="sign-title">
          <h2 id="sign-title">Sign the guestbook</h2>
          <div class="card">
            <SignForm slot="signed" />
            <div id="signed"></div>
          </div>
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
              <dd>{hitRate(home.cache)}</dd>
            </div>
          </dl>
        </section>
        <NewestEntries newest={home} />
      </div>
    </Layout>,
  );
}

/** The rejected form, with the typed values and the errors. */
export function signAgain(c: Context, refused: RejectedForm): string {
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

/** `paged`: not the first page. */
type Listed = EntryPage & { paged: boolean };

export function olderPage(c: Context, { entries, next, paged }: Listed): string {
  return page(
    <Layout c={c} title="Entries">
      <h1>Entries</h1>
      <p>
        <a href="/">Sign the guestbook</a>
      </p>
      {entries.length === 0 && paged
        ? <PastEnd href="/entries" text="The newest entries" />
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
