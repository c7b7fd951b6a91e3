// Items: a list of things with a name and a description.
import { z } from "zod";
import { changeItem, createItem, deleteItem, foldItem, itemStream } from "../commands/items.ts";
import { AppError } from "../errors.ts";
import { endpoint } from "../http/endpoint.ts";
import { changed, id, idParams, oldestFirst, text } from "../schemas/fields.ts";
import { ifMatch, nextLink, sendCommandResult, sendQuery } from "../http/respond.ts";
import { itemAgain, itemPage, itemsPage } from "../pages/items.tsx";
import { nextId } from "../store/ids.ts";
import { handleCommand } from "../http/handle_command.ts";
import { findItem, type Item, type ItemPage, type ItemRow, listItems } from "$projections/items.ts";
import { rerenderWithCurrent } from "./stale.ts";
import { commandEndpoint, STALE } from "../http/command_endpoint.ts";

const TAG = "items";

const name = text({ max: 100 });
const description = text({ min: 0, max: 2000, lines: true });
const item = z.object({ id, name: z.string(), description: z.string() });

const publicItem = ({ id, name, description }: Item) => ({ id, name, description });

export const itemsRoutes = [
  endpoint({
    method: "get",
    path: "/items",
    summary: "Items, oldest first",
    tag: TAG,
    query: oldestFirst,
    replies: { 200: { description: "A page of items", schema: z.array(item) } },
  }, async (c, { query: { limit, after = 0 } }) => {
    const answer = await c.get("services").cache.read({
      key: `items:${limit}:${after}`,
      tags: ["items"],
      projection: "items",
      load: (sql) => listItems(sql, { limit, after }),
    });
    return await sendQuery<ItemPage>(c, answer, {
      variant: String(c.get("admin")),
      page: (data) => itemsPage(c, { ...data, paged: after > 0 }),
      json: ({ items }) => items,
      link: ({ next }) => next === null ? undefined : nextLink("/items", { limit, after: next }),
    });
  }),

  endpoint({
    method: "get",
    path: "/items/:id",
    summary: "One item",
    tag: TAG,
    params: idParams,
    replies: { 200: { description: "The item", schema: item } },
  }, async (c, { params }) => {
    const answer = await c.get("services").cache.read({
      key: `item:${params.id}`,
      tags: [`item:${params.id}`],
      projection: "items",
      load: (sql) => findItem(sql, params.id),
    });
    return await sendQuery<ItemRow>(c, answer, {
      variant: String(c.get("admin")),
      page: (data) => itemPage(c, data),
      json: publicItem,
      etag: ({ version }) => `"${version}"`,
    });
  }),

  endpoint({
    method: "post",
    path: "/items",
    summary: "Create an item",
    tag: TAG,
    access: "guarded",
    body: z.object({ name, description: description.default("") }),
    replies: {
      201: { description: "Created", schema: item },
      303: { description: "Created, by a form" },
    },
    again: itemAgain,
  }, async (c, { body }) => {
    const id = await nextId(c.get("services").sql, "item");
    const { events: [event] } = await handleCommand(c, () => createItem({ id, ...body }));
    if (event?.type !== "ItemCreated") throw new AppError("conflict", "not created");
    return sendCommandResult(c, {
      status: 201,
      json: event.data,
      location: `/items/${event.data.id}`,
    });
  }),

  endpoint({
    method: "put",
    path: "/items/:id",
    summary: "Change some or all fields of an item",
    tag: TAG,
    access: "guarded",
    params: idParams,
    body: z.object({ name: name.optional(), description: description.optional() }),
    replies: {
      200: { description: "Updated", schema: changed },
      303: { description: "Updated, by a form" },
      412: { description: "Changed since it was read" },
    },
    again: (c, refused) => rerenderWithCurrent(c, refused, findItem, itemAgain),
  }, async (c, { params, body }) => {
    const { events } = await handleCommand(c, async (read) => {
      const state = foldItem(await read(itemStream(params.id)));
      return changeItem(state, { ...body, ifMatch: ifMatch(c) });
    });
    return sendCommandResult(c, {
      json: { id: params.id, message: "Updated" },
      location: `/items/${params.id}`,
      etag: events.at(-1)?.version,
    });
  }),

  commandEndpoint({
    method: "delete",
    path: "/items/:id",
    summary: "Delete an item",
    tag: TAG,
    access: "guarded",
    replies: STALE,
    word: "Deleted",
    next: "/items",
  }, async (read, { c, id }) => deleteItem(foldItem(await read(itemStream(id))), ifMatch(c))),
];
