// Components: a poll's form and its results, on our own pages and in frames on other sites.
import type { PublicPoll, Results } from "../schemas/polls.ts";
import { counted, Form, number, percent, type RejectedForm, Time, word } from "./parts.tsx";

type BallotFrame = {
  poll: PublicPoll;
  base: string;
  chosen?: string[];
  refused?: RejectedForm;
  button?: string;
};

export function BallotForm({ poll, base, chosen = [], refused, button = "Vote" }: BallotFrame) {
  const single = poll.choice === "single";
  const wrong = refused?.problem.errors?.length ? "choose at least one option" : undefined;
  return (
    <Form action={`${base}/${poll.id}/votes`} button={button} label="Your vote">
      <fieldset
        id="option"
        class={wrong ? "wrong" : undefined}
        aria-describedby={wrong ? "once option-wrong" : "once"}
      >
        <legend>{single ? "Choose one" : "Choose one or more"}</legend>
        {wrong ? <p class="why" id="option-wrong">{`Please ${wrong}`}</p> : ""}
        {poll.options.map(({ id, text }) => (
          <label class="option">
            <input
              type={single ? "radio" : "checkbox"}
              name="option"
              value={id}
              checked={chosen.includes(id)}
              required={single}
            />
            <span dir="auto">{text}</span>
          </label>
        ))}
      </fieldset>
      <p class="hint" id="once">
        One vote per browser: a cookie remembers yours, so that you can change it. Anyone who clears
        it, or uses another browser, can vote again.
      </p>
    </Form>
  );
}

export function Closing({ poll }: { poll: PublicPoll }) {
  if (poll.state === "closed") return <span class="tag">Closed</span>;
  if (poll.closes_at === null) return <span class="tag open">Open</span>;
  return (
    <span>
      Open until <Time at={poll.closes_at} as="moment" />
    </span>
  );
}

const WHEN = {
  always: "",
  after_vote: "Results are shown to those who voted.",
  after_close: "Results are shown after the poll is closed.",
};

type ResultsFrame = {
  poll: PublicPoll;
  /** Results that this voter may see, though not everybody may. */
  results?: Results | null;
  position: number;
  here: string;
};

/** A table styled as a bar chart, so that it works with screen readers. */
export function ResultsTable({ poll, results, position, here }: ResultsFrame) {
  const shown = results ?? (poll.votes === undefined ? null : poll);
  const votes = shown?.votes ?? 0;
  return (
    <section
      id="results"
      aria-labelledby="results-title"
      data-poll={`/polls/${poll.id}/live`}
      data-position={position}
      data-state={poll.state}
    >
      <h2 id="results-title">Results</h2>
      {shown
        ? (
          <table class="bars">
            <caption class="unseen">Votes by option</caption>
            <thead>
              <tr>
                <th scope="col">Option</th>
                <th scope="col" class="figure">Votes</th>
                <th scope="col" class="figure">Share</th>
              </tr>
            </thead>
            <tbody>
              {shown.options.map((option) => (
                <Bar id={option.id} text={option.text} votes={option.votes ?? 0} all={votes} />
              ))}
            </tbody>
          </table>
        )
        : <p class="hint">{WHEN[poll.results]}</p>}
      <p class="totals">
        {shown
          ? (
            <>
              <b data-votes="">{number(votes)}</b>{" "}
              <span data-word="vote">{word(votes, "vote")}</span>
              {" from "}
            </>
          )
          : ""}
        <b data-voters="">{number(poll.voters)}</b>{" "}
        <span data-word="voter">{word(poll.voters, "voter")}</span>
      </p>
      {poll.state === "open"
        ? (
          <p class="hint" data-lively="">
            <a href={here}>Reload for the newest numbers</a>
          </p>
        )
        : ""}
      {poll.votes === undefined || here.startsWith("/embed/") ? "" : <Proof id={poll.id} />}
    </section>
  );
}

function Proof({ id }: { id: number }) {
  return (
    <p class="hint">
      Count again: <a href={`/polls/${id}/results.csv`}>results as CSV</a>,{" "}
      <a href={`/polls/${id}/ballots`}>every ballot without its voter</a>
    </p>
  );
}

type BarFrame = { id: string; text: string; votes: number; all: number };

function Bar({ id, text, votes, all }: BarFrame) {
  const share = percent(all === 0 ? 0 : votes / all);
  return (
    <tr data-option={id}>
      <th scope="row">
        <span dir="auto">{text}</span>
        <svg class="bar" width="100%" height="12" aria-hidden="true" focusable="false">
          <rect class="track" width="100%" height="12" rx="6" />
          <rect class="fill" width={share.replace(" ", "")} height="12" rx="6" />
        </svg>
      </th>
      <td class="figure" data-count="">{number(votes)}</td>
      <td class="figure" data-share="">{share}</td>
    </tr>
  );
}

export function PollCard({ poll }: { poll: PublicPoll }) {
  return (
    <li>
      <a href={`/polls/${poll.id}`} dir="auto">{poll.question}</a>
      <p class="hint">
        <Closing poll={poll} /> · {counted(poll.voters, "voter")}
      </p>
    </li>
  );
}
