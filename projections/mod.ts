// The list of read models.
import type { EventType, Recorded } from "$events/mod.ts";
import { guestbook } from "./guestbook.ts";
import { items } from "./items.ts";
import { polls } from "./polls.ts";
import { type Projection, type Stale, staleBy } from "./projection.ts";
import { users } from "./users.ts";
import { visits } from "./visits.ts";

export const projections: Projection[] = [guestbook, users, items, polls, visits];

/** After these events some text must be gone everywhere; the kinds of cached values that may hold it. */
export const erasing: { [Type in EventType]?: string[] } = {
  EntryErased: ["entry", "entries"],
  UserDeleted: ["user", "users"],
  UserErased: ["user", "users"],
};

/** The tags and addresses that a batch makes stale, each once. */
export function staleAfter(events: Recorded[]): { tags: Set<string>; addresses: Set<string> } {
  const tags = new Set<string>();
  const addresses = new Set<string>();
  for (const event of events) {
    for (const found of projections.flatMap((one): Stale | Stale[] => staleBy(one, event) ?? [])) {
      for (const tag of found.tags) tags.add(tag);
      for (const address of found.addresses) addresses.add(address);
    }
  }
  return { tags, addresses };
}
