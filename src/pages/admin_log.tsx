// The admin desk: the log as it grows, and one event in full.
import { schemas } from "$events/mod.ts";
import type { Context } from "../http/context.ts";
import type { StoredEvent } from "../store/read.ts";
import { Desk } from "./admin.tsx";
import { page } from "./layout.tsx";
import { Empty, number, Pager, PastEnd, Time } from "./parts.tsx";

export type Filter = { stream?: string; type?: string; from?: string; to?: string };

export type LogFrame = {
  events: StoredEvent[];
  filter: Filter;
  /** The log's head when these events were read. */
  head: number;
  before?: number;
  next?: number;
};

function searchOf(filter: Filter): string {
  const given = Object.entries(filter).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(given as [string, string][]).toString();
  return search === "" ? "" : `?${search}`;
}

function addressOf(filter: Filter & { before?: string }): string {
  return `/admin/log${searchOf(filter)}`;
}

export function adminLogPage(c: Context, frame: LogFrame): string {
  const { events, filter, head, before, next } = frame;
  const growing = before === undefined && filter.to === undefined;
  const { stream, type } = filter;
  return page(
    <Desk c={c} title="Log">
      <FilterForm filter={filter} />
      <section
        id="log"
        aria-labelledby="log-title"
        data-grows={growing ? `/events/live${searchOf({ stream, type })}` : undefined}
        data-position={head}
      >
        <div class="row">
          <h2 id="log-title">Events</h2>
          <button type="button" class="new" data-new="" hidden>0 new</button>
        </div>
        {events.length === 0
          ? before === undefined
            ? (
              <Empty title="No event fits">
                <p>
                  Try another stream, type or time, or look at <a href="/admin/log">all events</a>.
                </p>
              </Empty>
            )
            : <PastEnd href={addressOf(filter)} text="The newest events" />
          : (
            <ol class="log">
              {events.map((event) => (
                <li id={`event-${event.position}`}>
                  <a href={`/admin/log/${event.position}`}>
                    {number(event.position)} {event.type}
                  </a>
                  <span>
                    <a class="quiet" href={addressOf({ stream: event.stream })}>{event.stream}</a>
                  </span>
                  <span class="hint">
                    {actorOf(event.meta)} · <Time at={event.at} />
                  </span>
                </li>
              ))}
            </ol>
          )}
      </section>
      {growing
        ? (
          <p class="hint" data-lively="">
            <a href={addressOf(filter)}>Reload for the newest events</a>
          </p>
        )
        : (
          <p>
            <a href={addressOf(filter)}>Newest events</a>
          </p>
        )}
      <Pager
        href={next === undefined ? undefined : addressOf({ ...filter, before: String(next) })}
        text="Older events"
      />
    </Desk>,
  );
}

/** `meta` of an imported event may have any shape. */
function actorOf(meta: unknown): string {
  if (typeof meta !== "object" || meta === null || !("actor" in meta)) return "unknown";
  return typeof meta.actor === "string" ? meta.actor : "unknown";
}

function FilterForm({ filter }: { filter: Filter }) {
  return (
    <form method="get" action="/admin/log" class="filter" aria-label="Filter the log">
      <div class="field">
        <label for="stream">Stream</label>
        <input id="stream" name="stream" value={filter.stream ?? ""} placeholder="poll-1" />
      </div>
      <div class="field">
        <label for="type">Type</label>
        <select id="type" name="type">
          <option value="">All</option>
          {Object.keys(schemas).map((type) => (
            <option value={type} selected={type === filter.type}>{type}</option>
          ))}
        </select>
      </div>
      <div class="field">
        <label for="from">From, in UTC</label>
        <input id="from" name="from" type="datetime-local" value={filter.from ?? ""} />
      </div>
      <div class="field">
        <label for="to">Until, in UTC</label>
        <input id="to" name="to" type="datetime-local" value={filter.to ?? ""} />
      </div>
      <button type="submit" class="quiet">Filter</button>
    </form>
  );
}

export type OneEvent = {
  stored: StoredEvent;
  data: unknown;
  erased: boolean;
  unreadable?: true;
};

export function adminEventPage(c: Context, { stored, data, ...text }: OneEvent): string {
  const { position } = stored;
  return page(
    <Desk c={c} title={`Event ${number(position)}`}>
      <dl class="facts">
        <Fact name="Type" value={stored.type} />
        <div>
          <dt>Stream</dt>
          <dd>
            <a href={addressOf({ stream: stored.stream })}>{stored.stream}</a>, version{" "}
            {stored.version}
          </dd>
        </div>
        <div>
          <dt>Time</dt>
          <dd>
            <Time at={stored.at} as="moment" />
          </dd>
        </div>
        <Fact name="Seal" value={stored.seal} />
      </dl>
      <h2>Data</h2>
      <Blank {...text} />
      <Json value={data} label="Data" />
      <details>
        <summary>As it is stored</summary>
        <Json value={stored.data} label="Data as it is stored" />
      </details>
      <h2>Where it came from</h2>
      <Json value={stored.meta} label="Where it came from" />
      <nav class="pager" aria-label="Events">
        {position > 1 ? <a rel="prev" href={`/admin/log/${position - 1}`}>Before</a> : ""}
        <a rel="next" href={`/admin/log/${position + 1}`}>After</a>
        <a href="/admin/log">All events</a>
      </nav>
    </Desk>,
  );
}

function Blank({ erased, unreadable }: Pick<OneEvent, "erased" | "unreadable">) {
  if (unreadable) return <p class="why">Its personal fields do not open with their key.</p>;
  return erased ? <p class="hint">Its personal fields were erased.</p> : null;
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <code>{value}</code>
      </dd>
    </div>
  );
}

function Json({ value, label }: { value: unknown; label: string }) {
  return (
    <pre
      tabindex={0}
      role="region"
      aria-label={label}
      dir="auto"
    >{JSON.stringify(value, null, 2)}</pre>
  );
}
