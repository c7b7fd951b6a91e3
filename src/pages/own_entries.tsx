// A visitor's own entries, to see, change and delete.
import { EDIT_MINUTES } from "../commands/guestbook.ts";
import type { Context } from "../http/context.ts";
import type { Mine } from "../schemas/guestbook.ts";
import type { EntryRow } from "$projections/guestbook.ts";
import { EntryCard, SignForm } from "./entry_parts.tsx";
import { Layout, page } from "./layout.tsx";
import {
  counted,
  Empty,
  Field,
  Form,
  isGone,
  Meanwhile,
  type RejectedForm,
  Summary,
  Time,
} from "./parts.tsx";

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
                  version={entry.version}
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
  entry: { id: number; name: string; message: string; version?: number | string };
  action: string;
  refused?: RejectedForm;
};

function EntryForm({ entry, action, refused }: EntryFormFrame) {
  const prefix = refused ? "" : `${entry.id}-`;
  return (
    <Form
      action={action}
      method="PUT"
      button="Save"
      label={`Change entry ${entry.id}`}
      version={entry.version}
    >
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

/** The rejected form; after a 412 beside the entry as it is `now`. */
export function changeAgain(c: Context, refused: RejectedForm, now?: EntryRow): string {
  const version = now?.version ?? refused.values._match;
  const entry = { id: Number(c.req.param("id")), name: "", message: "", version };
  return page(
    <Layout c={c} title="Error: change your entry" embedded={c.req.path.startsWith("/embed/")}>
      <h1>Change your entry</h1>
      <Summary refused={refused} />
      {isGone(refused)
        ? <SignForm action={c.req.path.replace(/entries\/\d+$/, "sign")} refused={refused} />
        : <EntryForm entry={entry} action={c.req.path} refused={refused} />}
      <Meanwhile facts={now && { Name: now.name, Message: now.message }} />
      <p>
        <a href={c.req.path.replace(/\d+$/, "mine")}>Your entries</a>
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
            <p>
              What you sign in the <a href={home}>guestbook</a>{" "}
              is remembered by a cookie, in this browser only.
            </p>
          </Empty>
        )
        : ""}
      <p>
        <a href={home}>Back to the guestbook</a>
      </p>
    </Layout>,
  );
}
