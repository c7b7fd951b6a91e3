// Commands on a guestbook entry.
import type { Recorded } from "$events/mod.ts";
import { AppError } from "../errors.ts";
import { appendTo, checkMatch, type Decision, type IfMatch, NO_CHANGE } from "./decision.ts";

export const EDIT_MINUTES = 15;

/** Whether an entry's author may still change it. */
export function isInEditWindow(signedAt: Date, now: Date): boolean {
  return now.getTime() - signedAt.getTime() < EDIT_MINUTES * 60_000;
}

export type EntryState = {
  id: number;
  version: number;
  name: string;
  message: string;
  author: string | null;
  status: "shown" | "held" | "hidden" | "erased";
  signedAt: Date;
};

/** The actor of a command: an admin, or a visitor known by the digest of their cookie. */
export type Actor = { admin: boolean; author?: string; now: Date };

export function entryStream(id: number): string {
  return `entry-${id}`;
}

export function foldEntry(events: Recorded[]): EntryState | undefined {
  let state: EntryState | undefined;
  for (const event of events) state = evolve(state, event);
  return state;
}

function evolve(state: EntryState | undefined, event: Recorded): EntryState | undefined {
  if (event.type === "EntrySigned") {
    const { id, name, message, author, held } = event.data;
    // An entry that cannot be decrypted still exists, so that it can be erased.
    const gone = event.erased && !event.unreadable;
    const status = gone ? "erased" : held ? "held" : "shown";
    return { id, version: 1, name, message, author, status, signedAt: event.at };
  }
  if (!state) return undefined;
  const version = event.version;
  switch (event.type) {
    case "EntryEdited": {
      const { name = state.name, message = state.message, held } = event.data;
      return { ...state, version, name, message, status: held ? "held" : state.status };
    }
    case "EntryHidden":
      return { ...state, version, status: "hidden" };
    case "EntryRestored":
      return { ...state, version, status: "shown" };
    case "EntryErased":
      return { ...state, version, status: "erased", name: "", message: "" };
    default:
      return state;
  }
}

export type Signing = {
  id: number;
  name: string;
  message: string;
  author: string | null;
  held: boolean;
};

export function signEntry(entry: Signing): Decision {
  return appendTo(entryStream(entry.id), 0, { type: "EntrySigned", data: entry });
}

export type Editing = { name?: string; message?: string; held?: boolean; ifMatch?: IfMatch };

/** `held`: the entry must be approved again, because the approved text is not the new one. */
export function editEntry(
  state: EntryState | undefined,
  { held = false, ifMatch, ...change }: Editing,
  asker: Actor,
): Decision {
  const entry = writable(state, asker);
  checkMatch(entry.version, ifMatch);
  const changed = different(entry, change);
  if (Object.keys(changed).length === 0) return NO_CHANGE;
  const data = { id: entry.id, ...changed, ...(held ? { held } : {}) };
  return appendTo(entryStream(entry.id), entry.version, { type: "EntryEdited", data });
}

export function eraseEntry(
  state: EntryState | undefined,
  asker: Actor,
  ifMatch?: IfMatch,
): Decision {
  const entry = writable(state, asker);
  checkMatch(entry.version, ifMatch);
  const stream = entryStream(entry.id);
  const event = { type: "EntryErased" as const, data: { id: entry.id } };
  return { ...appendTo(stream, entry.version, event), erase: [stream] };
}

export function hideEntry(state: EntryState | undefined, ifMatch?: IfMatch): Decision {
  const entry = existing(state);
  checkMatch(entry.version, ifMatch);
  if (entry.status === "hidden") return NO_CHANGE;
  const event = { type: "EntryHidden" as const, data: { id: entry.id } };
  return appendTo(entryStream(entry.id), entry.version, event);
}

/** Shows a hidden or held entry; `ifMatch` makes sure that the approved version is the one read. */
export function restoreEntry(state: EntryState | undefined, ifMatch?: IfMatch): Decision {
  const entry = existing(state);
  checkMatch(entry.version, ifMatch);
  if (entry.status === "shown") return NO_CHANGE;
  const event = { type: "EntryRestored" as const, data: { id: entry.id } };
  return appendTo(entryStream(entry.id), entry.version, event);
}

function existing(state: EntryState | undefined): EntryState {
  if (state && state.status !== "erased") return state;
  throw new AppError("not_found", "no such entry");
}

function writable(state: EntryState | undefined, asker: Actor): EntryState {
  const entry = existing(state);
  if (asker.admin) return entry;
  if (entry.status === "hidden") throw new AppError("not_found", "no such entry");
  if (entry.author === null || entry.author !== asker.author) {
    throw new AppError("forbidden", "only its author or an admin may change an entry");
  }
  if (isInEditWindow(entry.signedAt, asker.now)) return entry;
  throw new AppError("forbidden", `an entry may be changed for ${EDIT_MINUTES} minutes only`);
}

function different(entry: EntryState, { name, message }: { name?: string; message?: string }) {
  return {
    ...(name !== undefined && name !== entry.name ? { name } : {}),
    ...(message !== undefined && message !== entry.message ? { message } : {}),
  };
}
