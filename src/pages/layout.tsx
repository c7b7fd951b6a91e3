// The layout of every page.
import type { Child } from "hono/jsx";
import type { Context } from "../http/context.ts";
import { asset } from "./assets.ts";

export type Frame = {
  c: Context;
  title: string;
  /** Leaves out our navigation, inside another site's page. */
  embedded?: boolean;
  children?: Child;
};

const PLACES = [
  { href: "/", text: "Guestbook" },
  { href: "/polls", text: "Polls" },
  { href: "/users", text: "People" },
  { href: "/items", text: "Items" },
];

export function Layout({ c, title, embedded = false, children }: Frame) {
  const { SITE_TITLE } = c.get("services").config;
  return (
    <html lang="en" class={embedded ? "embedded" : "whole"}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{title === SITE_TITLE ? title : `${title} · ${SITE_TITLE}`}</title>
        <link rel="stylesheet" href={asset("style.css")} />
        <link rel="icon" type="image/svg+xml" href={asset("icon.svg")} />
        <link rel="alternate" type="application/atom+xml" title={SITE_TITLE} href="/feed.atom" />
        <script type="module" src={asset("app.js")}></script>
      </head>
      <body>
        {embedded ? "" : <Header c={c} title={SITE_TITLE} />}
        <main id="main" tabindex={-1}>{children}</main>
        {embedded ? "" : <Footer />}
        <div id="status" class="unseen" role="status"></div>
      </body>
    </html>
  );
}

function Header({ c, title }: { c: Context; title: string }) {
  const { path } = c.req;
  const isHere = (href: string) =>
    path === href || path.startsWith(href === "/" ? "/entries" : `${href}/`);
  return (
    <header class="top">
      <a class="skip" href="#main">Skip to the content</a>
      <nav aria-label="Main">
        <a class="home" href="/" dir="auto">{title}</a>
        <span class="places">
          {PLACES.map(({ href, text }) => (
            <a href={href} aria-current={isHere(href) ? "page" : undefined}>{text}</a>
          ))}
        </span>
      </nav>
    </header>
  );
}

function Footer() {
  return (
    <footer class="bottom">
      <p>
        <a href="/feed.atom">Feed</a>
        <a href="/entries/mine">Your entries</a>
        <a href="/docs">API</a>
        <a href="/admin">Admin</a>
      </p>
      <p>One cookie, set when you sign or vote, so that you can change what you wrote.</p>
    </footer>
  );
}

export function page(node: { toString(): string }): string {
  return `<!doctype html>${node}`;
}
