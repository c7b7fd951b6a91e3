// The expected read models, computed in the plainest way: one event after the other, objects in maps.
// Independent of the projections' SQL.
import type { Recorded } from "$events/mod.ts";

type Row = Record<string, unknown>;

export type Tables = Record<string, Row[]>;

type PollRow = Row & { id: number; voters: number; votes: number; version: number };
type OptionRow = Row & { poll: number; id: string; votes: number };

class Model {
  entries = new Map<number, Row & { state: string; version: number }>();
  users = new Map<number, Row & { version: number }>();
  items = new Map<number, Row & { version: number }>();
  polls = new Map<number, PollRow>();
  options = new Map<string, OptionRow>();
  visits = new Map<string, number>();

  apply(event: Recorded): void {
    const at = event.at.toISOString();
    switch (event.type) {
      case "EntrySigned": {
        const { held, ...facts } = event.data;
        const state = held ? "held" : "shown";
        const row = { ...facts, state, created_at: at, edited_at: null, version: 1 };
        this.entries.set(facts.id, row);
        break;
      }
      case "EntryEdited": {
        const { held, ...facts } = event.data;
        const state = held ? { state: "held" } : {};
        this.#change(this.entries, facts.id, { ...facts, ...state, edited_at: at });
        break;
      }
      case "EntryHidden":
        this.#change(this.entries, event.data.id, { state: "hidden" });
        break;
      case "EntryRestored":
        this.#change(this.entries, event.data.id, { state: "shown" });
        break;
      case "EntryErased":
        this.entries.delete(event.data.id);
        break;
      case "UserRegistered": {
        const { claim: _, ...facts } = event.data;
        this.users.set(facts.id, { ...facts, created_at: at, version: 1 });
        break;
      }
      case "UserChanged": {
        const { claim: _, ...facts } = event.data;
        this.#change(this.users, facts.id, facts);
        break;
      }
      case "UserDeleted":
      case "UserErased":
        this.users.delete(event.data.id);
        break;
      case "ItemCreated":
        this.items.set(event.data.id, { ...event.data, created_at: at, version: 1 });
        break;
      case "ItemChanged":
        this.#change(this.items, event.data.id, event.data);
        break;
      case "ItemDeleted":
        this.items.delete(event.data.id);
        break;
      case "PollOpened": {
        const { options, closes_at, ...facts } = event.data;
        const counts = { voters: 0, votes: 0, version: 1 };
        const row = { ...facts, ...counts, closes_at: iso(closes_at), created_at: at };
        this.polls.set(facts.id, { ...row, state: "open" });
        this.#setOptions(facts.id, options);
        break;
      }
      case "PollChanged": {
        const { options, closes_at, ...facts } = event.data;
        const moved = closes_at === undefined ? {} : { closes_at: iso(closes_at) };
        this.#change(this.polls, facts.id, { ...facts, ...moved });
        if (options) this.#setOptions(facts.id, options);
        break;
      }
      case "PollClosed":
        this.#change(this.polls, event.data.id, { state: "closed" });
        break;
      case "PollReopened": {
        const closesAt = iso(event.data.closes_at);
        this.#change(this.polls, event.data.id, { state: "open", closes_at: closesAt });
        break;
      }
      case "PollDeleted":
        this.#change(this.polls, event.data.id, { state: "deleted" });
        break;
      case "VoteCast":
        this.#count(event.data.poll, { add: event.data.options, take: [], voters: 1 });
        break;
      case "VoteChanged":
        this.#count(event.data.poll, {
          add: event.data.options,
          take: event.data.previous,
          voters: 0,
        });
        break;
      case "VoteWithdrawn":
        this.#count(event.data.poll, { add: [], take: event.data.previous, voters: -1 });
        break;
      case "VisitsCounted": {
        const { page, count } = event.data;
        this.visits.set(page, (this.visits.get(page) ?? 0) + count);
      }
    }
  }

  #change<Held extends Row & { version: number }>(
    rows: Map<number, Held>,
    id: number,
    change: Row,
  ): void {
    const row = rows.get(id);
    if (row) rows.set(id, { ...row, ...change, version: row.version + 1 });
  }

  #setOptions(poll: number, options: { id: string; text: string }[]): void {
    for (const [ord, { id, text }] of options.entries()) {
      const key = `${poll} ${id}`;
      this.options.set(key, { poll, id, ord, text, votes: this.options.get(key)?.votes ?? 0 });
    }
  }

  #count(poll: number, by: { add: string[]; take: string[]; voters: number }): void {
    const row = this.polls.get(poll);
    if (!row) return;
    for (const id of by.add) this.#vote(poll, id, 1);
    for (const id of by.take) this.#vote(poll, id, -1);
    row.votes += by.add.length - by.take.length;
    row.voters += by.voters;
  }

  #vote(poll: number, id: string, by: number): void {
    const option = this.options.get(`${poll} ${id}`);
    if (option) option.votes += by;
  }

  get tables(): Tables {
    const entries = [...this.entries.values()];
    return {
      entries,
      entry_totals: [{ shown: entries.filter(({ state }) => state === "shown").length }],
      users: [...this.users.values()],
      items: [...this.items.values()],
      polls: [...this.polls.values()],
      poll_options: [...this.options.values()],
      visits: [...this.visits].map(([page, views]) => ({ page, views })),
    };
  }
}

function iso(text: string | null): string | null {
  return text === null ? null : new Date(text).toISOString();
}

/** The tables after these events, with rows in an order of their own. */
export function modelOf(events: Iterable<Recorded>): Tables {
  const model = new Model();
  for (const event of events) model.apply(event);
  return sorted(model.tables);
}

/** Rows in a comparable form: keys and rows sorted, times as text. */
export function sorted(tables: Tables): Tables {
  const rows = (found: Row[]) =>
    found.map((row) => JSON.stringify(Object.entries(row).sort())).sort()
      .map((text) => Object.fromEntries(JSON.parse(text)) as Row);
  return Object.fromEntries(Object.entries(tables).map(([name, found]) => [name, rows(found)]));
}
