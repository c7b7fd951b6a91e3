// The admin desk: polls to open, change, close, reopen and delete.
import type { Context } from "../http/context.ts";
import type { Poll } from "$projections/polls.ts";
import { Desk } from "./admin.tsx";
import { page } from "./layout.tsx";
import {
  counted,
  Empty,
  Field,
  Form,
  isGone,
  Meanwhile,
  Pager,
  PastEnd,
  type RejectedForm,
  Summary,
} from "./parts.tsx";
import { Closing } from "./poll_parts.tsx";
import { publicPoll } from "../schemas/polls.ts";

type ChooseFrame = {
  name: string;
  label: string;
  options: Record<string, string>;
  value?: string;
};

function Choose({ name, label, options, value }: ChooseFrame) {
  return (
    <div class="field">
      <label for={name}>{label}</label>
      <select id={name} name={name}>
        {Object.entries(options).map(([key, text]) => (
          <option value={key} selected={key === value}>{text}</option>
        ))}
      </select>
    </div>
  );
}

const CHOICE = { single: "One option", multiple: "One or more options" };
const RESULTS = {
  always: "Always",
  after_vote: "To those who voted",
  after_close: "After the poll is closed",
};

type Filled = Partial<Omit<Poll, "version">> & { version?: number | string };

function PollForm({ poll, refused }: { poll?: Filled; refused?: RejectedForm }) {
  const old = refused?.values;
  return (
    <Form
      action={poll?.id === undefined ? "/polls" : `/polls/${poll.id}`}
      method={poll?.id === undefined ? undefined : "PUT"}
      button={poll?.id === undefined ? "Open the poll" : "Save"}
      label={poll?.id === undefined ? "Open a poll" : "Change the poll"}
      version={poll?.version}
    >
      <Field name="question" label="Question" value={poll?.question} refused={refused} />
      <Field
        name="options"
        label="Options"
        rows={5}
        value={poll?.options?.map(({ text }) => text).join("\n")}
        hint={poll?.id === undefined
          ? "One a line, 2 to 20"
          : "One a line. Reword them in their places, add new ones at the end; none can be taken away."}
        refused={refused}
      />
      {poll?.id === undefined
        ? (
          <Choose
            name="choice"
            label="A voter chooses"
            options={CHOICE}
            value={old?.choice}
          />
        )
        : ""}
      <Choose
        name="results"
        label="Results are shown"
        options={RESULTS}
        value={old?.results ?? poll?.results}
      />
      <Field
        name="closes_at"
        label="Closes at, in UTC"
        type="datetime-local"
        required={false}
        value={poll?.closes_at ? new Date(poll.closes_at).toISOString().slice(0, 16) : ""}
        refused={refused}
      />
    </Form>
  );
}

/** `paged`: not the first page. */
type Listed = { polls: Poll[]; next: number | null; paged: boolean };

export function adminPollsPage(c: Context, { polls, next, paged }: Listed): string {
  return page(
    <Desk c={c} title="Polls">
      {polls.length === 0
        ? paged
          ? <PastEnd href="/admin/polls" text="The newest polls" />
          : (
            <Empty title="No polls yet">
              <p>Open the first one below: a question and two options are enough.</p>
            </Empty>
          )
        : (
          <ul class="list managed">
            {polls.map((poll) => <Managed poll={poll} />)}
          </ul>
        )}
      <Pager href={next === null ? undefined : `/admin/polls?before=${next}`} text="Older polls" />
      <section class="panel" aria-labelledby="open">
        <h2 id="open">Open a poll</h2>
        <PollForm />
      </section>
    </Desk>,
  );
}

function Managed({ poll }: { poll: Poll }) {
  const { id, version } = poll;
  return (
    <li>
      <div>
        <a href={`/polls/${id}`} dir="auto">{poll.question}</a>
        <p class="hint">
          <Closing poll={publicPoll(poll)} /> · {counted(poll.voters, "voter")} ·{" "}
          <a href={`/admin/polls/${id}`}>Change</a>
        </p>
      </div>
      <div class="folds">
        {poll.state === "open"
          ? (
            <Form
              action={`/polls/${id}/close`}
              button="Close now"
              tone="quiet"
              version={version}
              label={`Close poll ${id}`}
            />
          )
          : (
            <Form
              action={`/polls/${id}/reopen`}
              button="Reopen"
              tone="quiet"
              version={version}
              label={`Reopen poll ${id}`}
            />
          )}
        <details>
          <summary>Delete</summary>
          <Form
            action={`/polls/${id}`}
            method="DELETE"
            button="Delete"
            tone="danger"
            version={version}
            label={`Delete poll ${id}`}
          >
            <p>Nobody sees it any more; the log keeps it.</p>
          </Form>
        </details>
      </div>
    </li>
  );
}

export function adminPollPage(c: Context, poll: Poll): string {
  return page(
    <Desk c={c} title="Change a poll">
      <PollForm poll={poll} />
      <p>
        <a href="/admin/polls">All polls</a>
      </p>
    </Desk>,
  );
}

/** The rejected form; after a 412 beside the poll as it is `now`. */
export function pollAgain(c: Context, refused: RejectedForm, now?: Poll): string {
  const id = c.req.param("id");
  const version = now?.version ?? refused.values._match;
  const poll = id === undefined || isGone(refused) ? undefined : { id: Number(id), version };
  return page(
    <Desk c={c} title={poll ? "Change a poll" : "Open a poll"}>
      <Summary refused={refused} />
      <PollForm poll={poll} refused={refused} />
      <Meanwhile facts={now && factsOf(now)} />
      <p>
        <a href="/admin/polls">All polls</a>
      </p>
    </Desk>,
  );
}

function factsOf({ question, options, results, closes_at }: Poll): Record<string, string> {
  return {
    Question: question,
    Options: options.map(({ text }) => text).join("\n"),
    "Results are shown": RESULTS[results],
    "Closes at, in UTC": closes_at === null ? "Never" : new Date(closes_at).toISOString(),
  };
}
