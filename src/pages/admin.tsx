// The admin desk: its login form, its layout and its first page.
import type { Child } from "hono/jsx";
import type { Context } from "../http/context.ts";
import type { CacheFacts } from "../schemas/cache.ts";
import type { Health } from "../schemas/health.ts";
import { Layout, page } from "./layout.tsx";
import { Field, Form, hitRate, number, type RejectedForm, Summary } from "./parts.tsx";

export function LoginForm({ next = "/admin", refused }: { next?: string; refused?: RejectedForm }) {
  return (
    <Form action="/admin/login" button="Log in" label="Log in">
      <input type="hidden" name="next" value={refused?.values.next ?? next} />
      <Field
        name="token"
        label="Admin token"
        type="password"
        autocomplete="current-password"
        hint="It was printed when this service was first started; deno task token makes a new one."
      />
    </Form>
  );
}

export function loginPage(c: Context, refused?: RejectedForm): string {
  return page(
    <Layout c={c} title={refused ? "Error: log in" : "Log in"}>
      <h1>Admin desk</h1>
      <Summary refused={refused} />
      <LoginForm refused={refused} />
    </Layout>,
  );
}

const ROOMS = [
  { href: "/admin", text: "Overview" },
  { href: "/admin/entries", text: "Entries" },
  { href: "/admin/polls", text: "Polls" },
  { href: "/admin/log", text: "Log" },
  { href: "/admin/projections", text: "Projections" },
  { href: "/admin/caches", text: "Caches" },
  { href: "/admin/health", text: "Health" },
  { href: "/admin/verify", text: "Verify" },
];

export function Desk({ c, title, children }: { c: Context; title: string; children?: Child }) {
  const { path } = c.req;
  const isHere = (href: string) =>
    path === href || (href !== "/admin" && path.startsWith(`${href}/`));
  return (
    <Layout c={c} title={`${title} · Admin`}>
      <div class="desk">
        <nav class="rooms" aria-label="Admin desk">
          {ROOMS.map(({ href, text }) => (
            <a href={href} aria-current={isHere(href) ? "page" : undefined}>{text}</a>
          ))}
        </nav>
        <Form action="/admin/logout" button="Log out" tone="quiet" />
      </div>
      <h1>{title}</h1>
      {children}
    </Layout>
  );
}

export function State({ status }: { status: Health["status"] | "ok" | "down" }) {
  const good = status === "healthy" || status === "ok";
  return <span class={good ? "state good" : "state bad"}>{status}</span>;
}

export type Overview = {
  health: Health;
  cache: CacheFacts;
  entries: number;
  held: number;
  polls: number;
};

export function adminPage(c: Context, facts: Overview): string {
  const { health, cache, entries, held, polls } = facts;
  const guarded = c.get("services").config.ACCESS === "guarded";
  return page(
    <Desk c={c} title="Overview">
      {guarded ? "" : (
        <p class="notice">
          <b>People and items are open to write</b> for everybody who comes by. Set{" "}
          <code>ACCESS=guarded</code> to ask for the admin token there.
        </p>
      )}
      <dl class="figures cards">
        <Figure name="State" href="/admin/health">
          <State status={health.status} />
        </Figure>
        <Figure name="Events in the log" href="/admin/log">
          {number(health.position ?? 0)}
        </Figure>
        <Figure name="Entries shown" href="/admin/entries">{number(entries)}</Figure>
        <Figure name="Entries to approve" href="/admin/entries?state=held">{number(held)}</Figure>
        <Figure name="Open polls" href="/admin/polls">{number(polls)}</Figure>
        <Figure name="Cache hit rate" href="/admin/caches">{hitRate(cache)}</Figure>
      </dl>
    </Desk>,
  );
}

function Figure({ name, href, children }: { name: string; href: string; children?: Child }) {
  return (
    <div>
      <dt>
        <a href={href}>{name}</a>
      </dt>
      <dd>{children}</dd>
    </div>
  );
}
