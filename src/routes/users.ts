// Users: the member list.
import { createHmac } from "node:crypto";
import { z } from "zod";
import {
  changeUser,
  type Claim,
  deleteUser,
  eraseUser,
  foldClaim,
  foldUser,
  registerUser,
  userStream,
} from "../commands/users.ts";
import { AppError } from "../errors.ts";
import { refuseFuture } from "./as_of.ts";
import type { Context } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import {
  asOf,
  changed,
  email,
  id,
  idParams,
  isoDate,
  oldestFirst,
  text,
} from "../schemas/fields.ts";
import { ifMatch, nextLink, sendCommandResult, sendQuery } from "../http/respond.ts";
import { userAgain, userPage, usersPage } from "../pages/users.tsx";
import { nextId } from "../store/ids.ts";
import { readStream } from "../store/read.ts";
import { handleCommand, type ReadStream } from "../http/handle_command.ts";
import { findUser, listUsers, type User, type UserPage, type UserRow } from "$projections/users.ts";
import { rerenderWithCurrent } from "./stale.ts";
import { commandEndpoint, STALE } from "../http/command_endpoint.ts";

const TAG = "users";

const name = text({ max: 100 });
const user = z.object({ id, name: z.string(), email: z.string().optional(), created_at: isoDate });
const created = user.extend({ message: z.string() });
const event = z.object({
  position: z.int(),
  type: z.string(),
  at: isoDate,
  data: z.record(z.string(), z.unknown()),
  erased: z.boolean(),
});

/** Renderings differ in two ways: e-mail addresses are shown or not, and so are an admin's forms. */
function variantOf(c: Context): "public" | "whole" | "admin" {
  if (c.get("admin")) return "admin";
  return c.get("services").config.ACCESS === "guarded" ? "public" : "whole";
}

/** With ACCESS=guarded only admins see e-mail addresses. */
function shownUser(c: Context, { id, name, email, created_at }: User) {
  return variantOf(c) === "public" ? { id, name, created_at } : { id, name, email, created_at };
}

/** Case-insensitive; a MAC, so that the stream's name does not reveal the address. */
function claimStream(c: Context, address: string): string {
  const { email } = c.get("services").secrets;
  return `email-${createHmac("sha256", email).update(address.toLowerCase()).digest("hex")}`;
}

async function readClaim(read: ReadStream, stream: string): Promise<Claim> {
  return foldClaim(stream, await read(stream));
}

export const usersRoutes = [
  endpoint({
    method: "get",
    path: "/users",
    summary: "Users, oldest first",
    tag: TAG,
    query: oldestFirst,
    replies: { 200: { description: "A page of users", schema: z.array(user) } },
  }, async (c, { query: { limit, after = 0 } }) => {
    const answer = await c.get("services").cache.read({
      key: `users:${limit}:${after}`,
      tags: ["users"],
      projection: "users",
      load: (sql) => listUsers(sql, { limit, after }),
    });
    return await sendQuery<UserPage>(c, answer, {
      variant: variantOf(c),
      page: ({ users, next }) =>
        usersPage(c, { users: users.map((one) => shownUser(c, one)), next, paged: after > 0 }),
      json: ({ users }) => users.map((one) => shownUser(c, one)),
      link: ({ next }) => next === null ? undefined : nextLink("/users", { limit, after: next }),
    });
  }),

  endpoint({
    method: "get",
    path: "/users/:id",
    summary: "One user, as now or as at a position of the log",
    tag: TAG,
    params: idParams,
    query: asOf,
    replies: { 200: { description: "The user", schema: user } },
  }, async (c, { params, query }) => {
    const answer = await c.get("services").cache.read({
      key: `user:${params.id}`,
      tags: [`user:${params.id}`],
      projection: "users",
      load: (sql) => findUser(sql, params.id),
    });
    if (query.asOf !== undefined && answer.text !== "null") {
      return await userAsOf(c, params.id, query.asOf);
    }
    return await sendQuery<UserRow>(c, answer, {
      variant: variantOf(c),
      page: (data) => userPage(c, { ...shownUser(c, data), version: data.version }),
      json: (data) => shownUser(c, data),
      // A guarded site has two answers for one version, so they need different tags.
      etag: ({ version }) => variantOf(c) === "public" ? `"${version}.0"` : `"${version}"`,
    });
  }),

  endpoint({
    method: "post",
    path: "/users",
    summary: "Register a user",
    tag: TAG,
    access: "guarded",
    body: z.object({ name, email }),
    replies: {
      201: { description: "Registered", schema: created },
      303: { description: "Registered, by a form" },
      409: { description: "The e-mail address is taken" },
    },
    again: userAgain,
  }, async (c, { body }) => {
    const id = await nextId(c.get("services").sql, "user");
    const { events: [event] } = await handleCommand(
      c,
      async (read) =>
        registerUser({ id, ...body }, await readClaim(read, claimStream(c, body.email))),
    );
    if (event?.type !== "UserRegistered") throw new AppError("conflict", "not registered");
    const { data, at } = event;
    return sendCommandResult(c, {
      status: 201,
      json: { ...shownUser(c, { ...data, created_at: at.toISOString() }), message: "Created" },
      location: `/users/${data.id}`,
    });
  }),

  endpoint({
    method: "put",
    path: "/users/:id",
    summary: "Change some or all fields of a user",
    tag: TAG,
    access: "guarded",
    params: idParams,
    body: z.object({ name: name.optional(), email: email.optional() }),
    replies: {
      200: { description: "Updated", schema: changed },
      303: { description: "Updated, by a form" },
      409: { description: "The e-mail address is taken" },
      412: { description: "Changed since it was read" },
    },
    again: (c, refused) => rerenderWithCurrent(c, refused, findUser, userAgain),
  }, async (c, { params, body }) => {
    const { events } = await handleCommand(c, async (read) => {
      const state = foldUser(await read(userStream(params.id)));
      const claims = state && body.email !== undefined
        ? {
          from: await readClaim(read, state.claim),
          to: await readClaim(read, claimStream(c, body.email)),
        }
        : undefined;
      return changeUser(state, { ...body, ifMatch: ifMatch(c) }, claims);
    });
    return sendCommandResult(c, {
      json: { id: params.id, message: "Updated" },
      location: `/users/${params.id}`,
      etag: events.find(({ type }) => type === "UserChanged")?.version,
    });
  }),

  commandEndpoint({
    method: "delete",
    path: "/users/:id",
    summary: "Delete a user: no read shows them any more",
    tag: TAG,
    access: "guarded",
    replies: STALE,
    word: "Deleted",
    next: "/users",
  }, async (read, { c, id }) => {
    const state = foldUser(await read(userStream(id)));
    return deleteUser(state, await readClaim(read, state?.claim ?? ""), ifMatch(c));
  }),

  commandEndpoint({
    method: "post",
    path: "/users/:id/erase",
    summary: "Erase a user's personal fields for good",
    tag: TAG,
    access: "admin",
    replies: STALE,
    word: "Erased",
    next: "/users",
  }, async (read, { c, id }) => {
    const state = foldUser(await read(userStream(id)));
    return eraseUser(state, await readClaim(read, state?.claim ?? ""), ifMatch(c));
  }),

  endpoint({
    method: "get",
    path: "/users/:id/history",
    summary: "Everything that happened to a user",
    tag: TAG,
    access: "admin",
    params: idParams,
    replies: { 200: { description: "Its events", schema: z.array(event) } },
  }, async (c, { params }) => {
    const events = await readStream(c.get("services").sql, userStream(params.id));
    if (events.length === 0) throw new AppError("not_found", "no such user");
    c.header("Cache-Control", "no-store");
    return c.json(
      events.map(({ position, type, at, data, erased }) => ({ position, type, at, data, erased })),
    );
  }),
];

/** Folds the user's stream up to the position; a user who is deleted today is a 404. */
async function userAsOf(c: Context, id: number, position: number): Promise<Response> {
  await refuseFuture(c.get("services").sql, position);
  const events = await readStream(c.get("services").sql, userStream(id), position);
  const state = foldUser(events);
  const [first] = events;
  if (!first || state?.status !== "active") throw new AppError("not_found", "no such user then");
  c.header("Cache-Control", "no-store");
  c.header("Tallybook-Position", String(position));
  return c.json(shownUser(c, { ...state, created_at: first.at.toISOString() }));
}
