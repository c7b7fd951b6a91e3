// The pages of polls.
import type { Child } from "hono/jsx";
import type { Context } from "../http/context.ts";
import type { PublicPoll } from "../schemas/polls.ts";
import type { Receipt } from "../schemas/polls.ts";
import type { MyVote } from "../schemas/polls.ts";
import { Layout, page } from "./layout.tsx";
import { Empty, Form, Pager, PastEnd, type RejectedForm, Summary, Time } from "./parts.tsx";
import { BallotForm, Closing, PollCard, ResultsTable } from "./poll_parts.tsx";

/** `paged`: not the first page. */
type Listed = { polls: PublicPoll[]; next: number | null; paged: boolean };

export function pollsPage(c: Context, { polls, next, paged }: Listed): string {
  return page(
    <Layout c={c} title="Polls">
      <h1>Polls</h1>
      {polls.length === 0
        ? paged ? <PastEnd href="/polls" text="The newest polls" /> : (
          <Empty title="No polls yet">
            <p>
              One is opened at the <a href="/admin/polls">admin desk</a>.
            </p>
          </Empty>
        )
        : <ul class="list">{polls.map((poll) => <PollCard poll={poll} />)}</ul>}
      <Pager href={next === null ? undefined : `/polls?before=${next}`} text="Older polls" />
    </Layout>,
  );
}

/** Where a poll is shown: on our own page, or in a frame on another site. */
export type PollPlace = {
  base?: "/polls" | "/embed/polls";
  position: number;
  refused?: RejectedForm;
};

export function pollPage(c: Context, poll: PublicPoll, place: PollPlace): string {
  const { base = "/polls", position, refused } = place;
  const here = `${base}/${poll.id}`;
  return page(
    <Layout c={c} title={poll.question} embedded={base !== "/polls"}>
      <h1 dir="auto">{poll.question}</h1>
      <p class="hint">
        <Closing poll={poll} />
      </p>
      <Summary refused={refused} />
      <div class="halves">
        <section aria-labelledby="vote-title">
          <h2 id="vote-title">{poll.state === "open" ? "Your vote" : "This poll is closed"}</h2>
          {poll.state === "open"
            ? <BallotForm poll={poll} base={base} refused={refused} />
            : <p>No more votes are taken.</p>}
          <p>
            <a href={`${here}/mine`}>
              {poll.state === "open" ? "Already voted? See or change your vote" : "See your vote"}
            </a>
          </p>
        </section>
        <ResultsTable poll={poll} position={position} here={here} />
      </div>
    </Layout>,
  );
}

export type BallotQuery = { thanks?: string; withdrawn?: string };

function titleOf(mine: MyVote, query: BallotQuery): string {
  if (query.thanks && mine.receipt) return "Vote received";
  if (query.withdrawn && !mine.receipt) return "Vote withdrawn";
  return mine.receipt ? "Your vote" : "You have not voted";
}

type BallotFrame = { poll: PublicPoll; mine: MyVote; query: BallotQuery } & PollPlace;

export function ballotPage(c: Context, frame: BallotFrame): string {
  const { poll, mine, query, base = "/polls", position } = frame;
  const title = titleOf(mine, query);
  const chosen = poll.options.filter(({ id }) => mine.options.includes(id));
  const open = poll.state === "open";
  return page(
    <Layout c={c} title={`${title}: ${poll.question}`} embedded={base !== "/polls"}>
      <p class="over" dir="auto">{poll.question}</p>
      <h1>{title}</h1>
      {chosen.length === 0
        ? <p>Nothing from this browser is counted in this poll.</p>
        : (
          <ul class="chosen" aria-label="Your choice">
            {chosen.map(({ text }) => <li dir="auto">{text}</li>)}
          </ul>
        )}
      {mine.receipt
        ? (
          <p class="hint">
            Your receipt: <a href={`/receipts/${mine.receipt}`} class="receipt">{mine.receipt}</a>
            <br />
            Keep it: it shows at any time that your vote is counted. It does not say who you are.
          </p>
        )
        : ""}
      <div class="halves">
        {open
          ? (
            <section aria-labelledby="change-title">
              <h2 id="change-title">{mine.receipt ? "Change my vote" : "Vote"}</h2>
              <BallotForm
                poll={poll}
                base={base}
                chosen={mine.options}
                button={mine.receipt ? "Change my vote" : "Vote"}
              />
              {mine.receipt ? <Withdraw action={`${base}/${poll.id}/votes`} /> : ""}
            </section>
          )
          : <p>This poll is closed.</p>}
        <ResultsTable
          poll={poll}
          results={mine.results}
          position={position}
          here={`${base}/${poll.id}/mine`}
        />
      </div>
      <p>
        <a href={`${base}/${poll.id}`}>Back to the poll</a>
      </p>
    </Layout>,
  );
}

function Withdraw({ action }: { action: string }) {
  return (
    <details>
      <summary>Withdraw my vote</summary>
      <Form
        action={action}
        method="DELETE"
        button="Withdraw"
        tone="danger"
        label="Withdraw my vote"
      />
    </details>
  );
}

export function receiptPage(c: Context, found: Receipt): string {
  const title = found.counted ? "This vote is counted" : "This vote is no longer counted";
  return page(
    <Layout c={c} title={title}>
      <h1>{title}</h1>
      <p>
        {found.counted
          ? "It is in the log at the position below, and in the results of its poll."
          : "It was changed or withdrawn later, or its poll was taken away."}{" "}
        <a href={`/polls/${found.poll}`}>To the poll</a>
      </p>
      <dl class="facts">
        <Fact name="Cast">
          <Time at={found.at} as="moment" />
        </Fact>
        <Fact name="Receipt">
          <code>{found.receipt}</code>
        </Fact>
        <Fact name="Position in the log">{found.position}</Fact>
        <Fact name="Seal">
          <code>{found.seal}</code>
        </Fact>
      </dl>
      <h2>The log's head just now, signed</h2>
      <p class="hint">
        Save it: later it shows that nothing before it was changed. The same as JSON, for programs:
        ask this address with <code>Accept: application/json</code>.
      </p>
      <dl class="facts">
        <Fact name="Position">{found.head.position}</Fact>
        <Fact name="Seal">
          <code>{found.head.seal}</code>
        </Fact>
        <Fact name="Time">
          <code>{found.head.at}</code>
        </Fact>
        <Fact name="Public key">
          <code>{found.head.key}</code>
        </Fact>
        <Fact name="Signature">
          <code>{found.head.signature}</code>
        </Fact>
      </dl>
    </Layout>,
  );
}

function Fact({ name, children }: { name: string; children?: Child }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
