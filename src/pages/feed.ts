// The Atom feed of the newest entries.
import type { Context } from "../http/context.ts";
import type { FeedEntry } from "$projections/guestbook.ts";

const ESCAPES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

// XML 1.0 does not allow these characters, not even escaped.
const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu;

function xml(text: string): string {
  return text.replaceAll(NOT_XML, "").replaceAll(/[&<>"']/g, (found) => ESCAPES[found] ?? found);
}

export function atomFeed(c: Context, entries: FeedEntry[]): string {
  const { PUBLIC_URL, SITE_TITLE } = c.get("services").config;
  // Not from the Host header, which a client can forge; without PUBLIC_URL the links are relative.
  const base = PUBLIC_URL?.replace(/\/$/, "") ?? "";
  const ids = base || "urn:tallybook";
  // All in the same format, so that comparing text compares times.
  const updated = entries.map(({ updated_at }) => updated_at).sort().at(-1) ??
    new Date(0).toISOString();
  return `<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <title>${xml(SITE_TITLE)}</title>
  <id>${xml(ids)}/</id>
  <updated>${updated}</updated>
  <link rel="self" href="${xml(base)}/feed.atom"/>
  <link href="${xml(base)}/"/>
${entries.map((entry) => atomEntry(entry, { base, ids })).join("")}</feed>
`;
}

type Places = { base: string; ids: string };

function atomEntry(
  { id, name, message, created_at, updated_at }: FeedEntry,
  { base, ids }: Places,
): string {
  return `  <entry>
    <title>${xml(name)}</title>
    <id>${xml(ids)}/entries/${id}</id>
    <published>${created_at}</published>
    <updated>${updated_at}</updated>
    <author><name>${xml(name)}</name></author>
    <link href="${xml(base)}/entries/${id}"/>
    <content type="text">${xml(message)}</content>
  </entry>
`;
}
