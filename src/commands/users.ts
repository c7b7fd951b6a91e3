// Commands on a user. Each e-mail address has a stream that says who claims it, so that an address
// belongs to one user only; both streams are written in the same append.
import type { NewEvent, Recorded } from "$events/mod.ts";
import { AppError } from "../errors.ts";
import type { StreamAppend } from "../store/appender.ts";
import { checkMatch, type Decision, type IfMatch, NO_CHANGE } from "./decision.ts";

export type UserState = {
  id: number;
  version: number;
  name: string;
  email: string;
  claim: string;
  status: "active" | "deleted" | "erased";
};

/** The stream of an e-mail address: its version, and the user who claims the address. */
export type Claim = { stream: string; version: number; holder: number | null };

export function userStream(id: number): string {
  return `user-${id}`;
}

export function foldUser(events: Recorded[]): UserState | undefined {
  let state: UserState | undefined;
  for (const event of events) state = evolve(state, event);
  return state;
}

function evolve(state: UserState | undefined, event: Recorded): UserState | undefined {
  if (event.type === "UserRegistered") {
    return { ...event.data, version: 1, status: "active" };
  }
  if (!state) return undefined;
  const version = event.version;
  if (event.type === "UserChanged") {
    const { name = state.name, email = state.email, claim = state.claim } = event.data;
    return { ...state, version, name, email, claim };
  }
  if (event.type === "UserDeleted") return { ...state, version, status: "deleted" };
  if (event.type === "UserErased") {
    return { ...state, version, status: "erased", name: "", email: "" };
  }
  return state;
}

export function foldClaim(stream: string, events: Recorded[]): Claim {
  const last = events.at(-1);
  const holder = last?.type === "EmailClaimed" ? last.data.user : null;
  return { stream, version: last?.version ?? 0, holder };
}

export function registerUser(
  user: { id: number; name: string; email: string },
  claim: Claim,
): Decision {
  const data = { ...user, claim: claim.stream };
  return {
    streams: [
      { stream: userStream(user.id), expected: "none", events: [{ type: "UserRegistered", data }] },
      claiming(claim, user.id),
    ],
  };
}

export type UserChange = { name?: string; email?: string; ifMatch?: IfMatch };

/** `claims`: the claim on the old address (`from`) and on the new one (`to`). */
export function changeUser(
  state: UserState | undefined,
  change: UserChange,
  claims?: { from: Claim; to: Claim },
): Decision {
  const user = active(state);
  checkMatch(user.version, change.ifMatch);
  const moved = claims !== undefined && claims.to.stream !== claims.from.stream;
  const data = {
    id: user.id,
    ...(change.name !== undefined && change.name !== user.name ? { name: change.name } : {}),
    ...(change.email !== undefined && change.email !== user.email ? { email: change.email } : {}),
    ...(moved ? { claim: claims.to.stream } : {}),
  };
  if (Object.keys(data).length === 1) return NO_CHANGE;
  const streams = [on(user, { type: "UserChanged", data })];
  if (moved) streams.push(claiming(claims.to, user.id), releasing(claims.from, user.id));
  return { streams };
}

export function deleteUser(
  state: UserState | undefined,
  claim: Claim,
  ifMatch?: IfMatch,
): Decision {
  const user = active(state);
  checkMatch(user.version, ifMatch);
  const event = { type: "UserDeleted" as const, data: { id: user.id } };
  return { streams: [on(user, event), releasing(claim, user.id)] };
}

/** Erases also a user who was deleted before. */
export function eraseUser(
  state: UserState | undefined,
  claim: Claim,
  ifMatch?: IfMatch,
): Decision {
  if (!state || state.status === "erased") throw new AppError("not_found", "no such user");
  checkMatch(state.version, ifMatch);
  const event = { type: "UserErased" as const, data: { id: state.id } };
  const streams = [on(state, event)];
  if (state.status === "active") streams.push(releasing(claim, state.id));
  return { streams, erase: [userStream(state.id)] };
}

function active(state: UserState | undefined): UserState {
  if (state?.status === "active") return state;
  throw new AppError("not_found", "no such user");
}

function on(user: UserState, event: NewEvent): StreamAppend {
  return { stream: userStream(user.id), expected: user.version, events: [event] };
}

function claiming(claim: Claim, user: number): StreamAppend {
  if (claim.holder !== null && claim.holder !== user) {
    const message = "this e-mail address is taken";
    throw new AppError("conflict", message, { fields: [{ field: "email", message: "is taken" }] });
  }
  const expected = claim.version === 0 ? "none" : claim.version;
  return {
    stream: claim.stream,
    expected,
    events: [{ type: "EmailClaimed", data: { user } }],
  };
}

function releasing(claim: Claim, user: number): StreamAppend {
  return {
    stream: claim.stream,
    expected: claim.version,
    events: [{ type: "EmailReleased", data: { user } }],
  };
}
