// The admin desk: entries to approve, hide, restore and erase.
import type { Child } from "hono/jsx";
import type { Context } from "../http/context.ts";
import type { EntryRow } from "$projections/guestbook.ts";
import { Desk } from "./admin.tsx";
import { page } from "./layout.tsx";
import { Empty, Form, Pager, PastEnd, Text, Time } from "./parts.tsx";

type State = EntryRow["state"];

type Tab = { state: State; text: string; none: string; hint: Child };

const TABS: Tab[] = [
  {
    state: "held",
    text: "To approve",
    none: "Nothing waits to be approved",
    hint: (
      <>
        With <code>MODERATION=before</code> new entries wait here until you have read them.
      </>
    ),
  },
  {
    state: "shown",
    text: "Shown",
    none: "No entry is shown",
    hint: "What is signed in the guestbook stands here, to be hidden or erased.",
  },
  {
    state: "hidden",
    text: "Hidden",
    none: "No entry is hidden",
    hint: "What you hide is kept here, and can be restored.",
  },
];

/** `paged`: not the first page. */
type Shelf = { entries: EntryRow[]; state: State; next: number | undefined; paged: boolean };

export function adminEntriesPage(c: Context, { entries, state, next, paged }: Shelf): string {
  const here = `/admin/entries?state=${state}`;
  const tab = TABS.find((one) => one.state === state);
  return page(
    <Desk c={c} title="Entries">
      <nav class="rooms" aria-label="Which entries">
        {TABS.map((tab) => (
          <a
            href={`/admin/entries?state=${tab.state}`}
            aria-current={tab.state === state ? "page" : undefined}
          >
            {tab.text}
          </a>
        ))}
      </nav>
      {entries.length === 0
        ? paged
          ? <PastEnd href={here} text="The newest entries" />
          : (
            <Empty title={tab?.none ?? ""}>
              <p>{tab?.hint}</p>
            </Empty>
          )
        : (
          <ol class="entries">
            {entries.map((entry) => (
              <li>
                <Moderated entry={entry} />
              </li>
            ))}
          </ol>
        )}
      <Pager
        href={next === undefined ? undefined : `${here}&before=${next}`}
        text="Older entries"
      />
    </Desk>,
  );
}

function Moderated({ entry }: { entry: EntryRow }) {
  const { id, state, version } = entry;
  return (
    <article class="entry managed">
      <div>
        <header dir="auto">
          <b class="name">{entry.name}</b>
          <a class="when" href={`/admin/log?stream=entry-${id}`}>
            <Time at={entry.created_at} />
          </a>
        </header>
        <Text text={entry.message} />
      </div>
      <div class="folds">
        {state === "shown" ? "" : (
          <Form
            action={`/entries/${id}/restore`}
            button={state === "held" ? "Approve" : "Restore"}
            label={`Show entry ${id}`}
            version={version}
          />
        )}
        {state === "hidden" ? "" : (
          <Form
            action={`/entries/${id}/hide`}
            button="Hide"
            tone="quiet"
            label={`Hide entry ${id}`}
            version={version}
          />
        )}
        <details>
          <summary>Erase</summary>
          <Form
            action={`/entries/${id}/erase`}
            button="Erase for good"
            tone="danger"
            label={`Erase entry ${id}`}
            version={version}
          >
            <p>Name and message are gone from the log too, and cannot be brought back.</p>
          </Form>
        </details>
      </div>
    </article>
  );
}
