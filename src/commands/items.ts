// Commands on an item.
import type { Recorded } from "$events/mod.ts";
import { AppError } from "../errors.ts";
import { appendTo, checkMatch, type Decision, type IfMatch, NO_CHANGE } from "./decision.ts";

export type ItemState = {
  id: number;
  version: number;
  name: string;
  description: string;
  deleted: boolean;
};

export function itemStream(id: number): string {
  return `item-${id}`;
}

export function foldItem(events: Recorded[]): ItemState | undefined {
  let state: ItemState | undefined;
  for (const event of events) {
    if (event.type === "ItemCreated") state = { ...event.data, version: 1, deleted: false };
    if (!state) continue;
    if (event.type === "ItemChanged") {
      const { name = state.name, description = state.description } = event.data;
      state = { ...state, version: event.version, name, description };
    }
    if (event.type === "ItemDeleted") state = { ...state, version: event.version, deleted: true };
  }
  return state;
}

export function createItem(item: { id: number; name: string; description: string }): Decision {
  return appendTo(itemStream(item.id), 0, { type: "ItemCreated", data: item });
}

export function changeItem(
  state: ItemState | undefined,
  { name, description, ifMatch }: { name?: string; description?: string; ifMatch?: IfMatch },
): Decision {
  const item = existing(state);
  checkMatch(item.version, ifMatch);
  const data = {
    id: item.id,
    ...(name !== undefined && name !== item.name ? { name } : {}),
    ...(description !== undefined && description !== item.description ? { description } : {}),
  };
  if (Object.keys(data).length === 1) return NO_CHANGE;
  return appendTo(itemStream(item.id), item.version, { type: "ItemChanged", data });
}

export function deleteItem(state: ItemState | undefined, ifMatch?: IfMatch): Decision {
  const item = existing(state);
  checkMatch(item.version, ifMatch);
  const event = { type: "ItemDeleted" as const, data: { id: item.id } };
  return appendTo(itemStream(item.id), item.version, event);
}

function existing(state: ItemState | undefined): ItemState {
  if (state && !state.deleted) return state;
  throw new AppError("not_found", "no such item");
}
