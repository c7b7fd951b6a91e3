// The admin desk: projections, caches, health and the verification of the log.
import type { CacheHistory, Slot } from "../cache/hit_history.ts";
import type { Context } from "../http/context.ts";
import type { Health } from "../schemas/health.ts";
import type { ProjectionState } from "../projector/projector.ts";
import type { Shut } from "../store/verify.ts";
import { Desk, State } from "./admin.tsx";
import { page } from "./layout.tsx";
import { Empty, Form, number, percent } from "./parts.tsx";

export type Works = { head: number; states: ProjectionState[]; replaying?: string };

export function adminProjectionsPage(c: Context, { head, states, replaying }: Works): string {
  const moving = replaying !== undefined || states.some(({ rebuild }) => rebuild !== null);
  return page(
    <Desk c={c} title="Projections">
      <p>
        What is read is worked out from the log, and can be worked out again while the service goes
        on.
      </p>
      <section id="states" aria-label="Projections" data-refresh={moving ? 500 : 5000}>
        <ul class="list managed">
          {states.map((state) => (
            <Projection state={state} head={head} replaying={replaying === state.name} />
          ))}
        </ul>
        {moving
          ? (
            <p class="hint" data-lively="">
              <a href="/admin/projections">Reload to see how far it is</a>
            </p>
          )
          : ""}
      </section>
      <Form action="/admin/replay" button="Replay all" tone="quiet" label="Replay all" />
    </Desk>,
  );
}

type ProjectionFrame = { state: ProjectionState; head: number; replaying: boolean };

function Projection({ state, head, replaying }: ProjectionFrame) {
  const { name, position, error, rebuild } = state;
  return (
    <li>
      <div>
        <b>{name}</b>
        <p class="hint">
          Position {number(position)}, lag {number(Math.max(0, head - position))}
        </p>
        {error === null ? "" : <p class="why">Stopped: {error}</p>}
      </div>
      {rebuild !== null || replaying
        ? (
          <p>
            <progress
              value={rebuild ?? 0}
              max={Math.max(1, head)}
              aria-label={`Replay of ${name}`}
            />{" "}
            {number(rebuild ?? 0)} of {number(head)}
          </p>
        )
        : (
          <Form action="/admin/replay" button="Replay" tone="quiet" label={`Replay ${name}`}>
            <input type="hidden" name="projection" value={name} />
          </Form>
        )}
    </li>
  );
}

export type Shelves = {
  counts: { kind: string; hits: number; misses: number; keys: number }[];
  history: CacheHistory;
};

export function adminCachesPage(c: Context, { counts, history }: Shelves): string {
  return page(
    <Desk c={c} title="Caches">
      <p>
        Answers of the read models, and how often they were there when asked for. Each bar is ten
        seconds, the last ten minutes from left to right.
      </p>
      <section id="shelves" aria-label="Caches" data-refresh={10_000}>
        {counts.length === 0
          ? (
            <Empty title="Nothing was asked for yet">
              <p>As soon as somebody reads a page, its kind of answer has a line here.</p>
            </Empty>
          )
          : (
            <ul class="list shelves">
              {counts.map((one) => (
                <li>
                  <b>{one.kind}</b>
                  <p class="hint">
                    Hit rate {percent(rateOf(one))}: {number(one.hits)} hits, {number(one.misses)}
                    {" "}
                    misses; {number(one.keys)} kept
                  </p>
                  <Chart slots={history.get(one.kind) ?? []} kind={one.kind} />
                </li>
              ))}
            </ul>
          )}
      </section>
      <Form action="/admin/cache/clear" button="Clear" tone="quiet" label="Clear the cache" />
    </Desk>,
  );
}

function rateOf({ hits, misses }: { hits: number; misses: number }): number {
  return hits + misses === 0 ? 0 : hits / (hits + misses);
}

const WIDTH = 5;
const HEIGHT = 40;

/** A bar for the hit rate of each time slot that had lookups. */
function Chart({ slots, kind }: { slots: Slot[]; kind: string }) {
  const asked = slots.filter(({ hits, misses }) => hits + misses > 0);
  const rates = asked.map(rateOf);
  const said = rates.length === 0
    ? `${kind}: not asked for in the last ten minutes`
    : `${kind}: hit rate between ${percent(Math.min(...rates))} and ${percent(Math.max(...rates))}`;
  return (
    <svg
      class="chart"
      role="img"
      aria-label={said}
      viewBox={`0 0 ${slots.length * WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      height={HEIGHT}
    >
      <rect class="track" width={slots.length * WIDTH} height={HEIGHT} />
      {slots.map((slot, i) => {
        const height = slot.hits + slot.misses === 0 ? 0 : Math.max(2, rateOf(slot) * HEIGHT);
        return (
          <rect
            class="fill"
            x={i * WIDTH}
            y={HEIGHT - height}
            width={WIDTH - 1}
            height={height}
          />
        );
      })}
    </svg>
  );
}

export function adminHealthPage(c: Context, health: Health): string {
  const { config } = c.get("services");
  return page(
    <Desk c={c} title="Health">
      <section id="health" aria-label="Health" data-refresh={5000}>
        <dl class="figures cards">
          <div>
            <dt>Service</dt>
            <dd>
              <State status={health.status} />
            </dd>
          </div>
          <div>
            <dt>PostgreSQL</dt>
            <dd>
              <State status={health.postgres} />
            </dd>
          </div>
          <div>
            <dt>{health.cache === "redis" ? "Redis" : `Cache in ${health.cache ?? "memory"}`}</dt>
            <dd>
              <State status={health.redis} />
            </dd>
          </div>
          <div>
            <dt>Log</dt>
            <dd>{number(health.position ?? 0)}</dd>
          </div>
          <div>
            <dt>Visible</dt>
            <dd>{number(health.visible ?? 0)}</dd>
          </div>
          {health.unreadable
            ? (
              <div>
                <dt>Not readable with their keys</dt>
                <dd class="why">{health.unreadable.join(", ")}</dd>
              </div>
            )
            : ""}
        </dl>
      </section>
      <dl class="facts">
        <div>
          <dt>Writing to people and items</dt>
          <dd>{config.ACCESS}</dd>
        </div>
        <div>
          <dt>New entries</dt>
          <dd>{config.MODERATION === "before" ? "wait for approval" : "are shown at once"}</dd>
        </div>
        <div>
          <dt>May be embedded by</dt>
          <dd>{config.EMBED_ORIGINS.join(", ") || "nobody"}</dd>
        </div>
      </dl>
      <p>
        For programs: <a href="/health">/health</a>, <a href="/metrics">/metrics</a>
      </p>
    </Desk>,
  );
}

export type Verified = {
  ok: boolean;
  position: number;
  seal?: string;
  problem?: string;
  unreadable?: Shut[];
};

export function adminVerifyPage(c: Context, verdict?: Verified): string {
  return page(
    <Desk c={c} title="Verify">
      <p>Goes through the whole log and holds each event against the seal that follows from it.</p>
      {verdict ? <Verdict verdict={verdict} /> : ""}
      <Form action="/admin/verify" button="Verify now" label="Verify the log" />
    </Desk>,
  );
}

function Verdict({ verdict }: { verdict: Verified }) {
  const { ok, position, seal, problem, unreadable = [] } = verdict;
  const good = ok && unreadable.length === 0;
  return (
    <div class={good ? "notice good" : "alert"} role="alert" tabindex={-1} data-focus="">
      <h2>{ok ? "The log is whole" : "The log was tampered with"}</h2>
      <p>
        {ok
          ? `All ${number(position)} events fit their seals.`
          : `First misfit at position ${number(position)}: ${problem ?? ""}`}
      </p>
      {seal ? <code>{seal}</code> : ""}
      {unreadable.map((shut) => (
        <p>
          Position {number(shut.position)} cannot be read: the key of {shut.subject}{" "}
          does not open it.
        </p>
      ))}
    </div>
  );
}
