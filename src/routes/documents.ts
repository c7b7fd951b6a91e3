// Documents about the site: the Atom feed, the OpenAPI document and its page.
import { type Endpoint, endpoint } from "../http/endpoint.ts";
import { openapiOf } from "../http/openapi.ts";
import { docsPage } from "../pages/docs.tsx";
import { atomFeed } from "../pages/feed.ts";
import { feedEntries, type FeedEntry } from "$projections/guestbook.ts";

const FEED_ENTRIES = 20;

/** The document lists every call, including these three. */
export function documentRoutes(others: Endpoint[]): Endpoint[] {
  const routes: Endpoint[] = [
    endpoint({
      method: "get",
      path: "/feed.atom",
      summary: "The newest entries as a feed",
      tag: "guestbook",
      replies: { 200: { description: "Atom", type: "application/atom+xml" } },
    }, async (c) => {
      const answer = await c.get("services").cache.read({
        key: "entries:atom",
        tags: ["entries"],
        projection: "guestbook",
        load: (sql) => feedEntries(sql, FEED_ENTRIES),
      });
      const entries = JSON.parse(answer.text) as FeedEntry[];
      c.header("Cache-Control", "no-cache");
      c.header("Tallybook-Position", String(answer.position));
      return c.body(atomFeed(c, entries), 200, {
        "content-type": "application/atom+xml; charset=utf-8",
      });
    }),

    endpoint({
      method: "get",
      path: "/openapi.json",
      summary: "This document",
      tag: "documents",
      replies: { 200: { description: "OpenAPI 3.1" } },
    }, (c) => {
      c.header("Cache-Control", "no-cache");
      return c.json(openapiOf([...others, ...routes], c.get("services").config.SITE_TITLE));
    }),

    endpoint({
      method: "get",
      path: "/docs",
      summary: "The API as a page",
      tag: "documents",
      replies: { 200: { description: "A page", type: "text/html" } },
    }, (c) => {
      c.header("Cache-Control", "no-cache");
      return c.html(docsPage(c, [...others, ...routes].map(({ spec }) => spec)));
    }),
  ];
  return routes;
}
