// The pages of users.
import type { Context } from "../http/context.ts";
import { mayWrite } from "./items.tsx";
import { Layout, page } from "./layout.tsx";
import {
  Empty,
  Field,
  Form,
  isGone,
  Meanwhile,
  Pager,
  PastEnd,
  type RejectedForm,
  Summary,
  Time,
} from "./parts.tsx";

type Shown = { id: number; name: string; email?: string; created_at: string };
type Versioned = Shown & { version: number };

type Filled = { id: number; name: string; email?: string; version?: number | string };

type UserFormFrame = { user?: Filled; refused?: RejectedForm };

function UserForm({ user, refused }: UserFormFrame) {
  return (
    <Form
      action={user ? `/users/${user.id}` : "/users"}
      method={user ? "PUT" : undefined}
      button={user ? "Save" : "Add"}
      version={user?.version}
      label={user ? "Change this person" : "Add a person"}
    >
      <Field name="name" label="Name" autocomplete="off" value={user?.name} refused={refused} />
      <Field
        name="email"
        label="E-mail address"
        type="email"
        autocomplete="off"
        value={user?.email}
        refused={refused}
      />
    </Form>
  );
}

/** `paged`: not the first page. */
type Listed = { users: Shown[]; next: number | null; paged: boolean };

export function usersPage(c: Context, { users, next, paged }: Listed): string {
  return page(
    <Layout c={c} title="People">
      <h1>People</h1>
      {users.length === 0
        ? paged
          ? <PastEnd href="/users" text="People from the beginning" />
          : (
            <Empty title="Nobody is here yet">
              <p>
                {mayWrite(c) ? "Add the first person below." : "Whoever is added will stand here."}
              </p>
            </Empty>
          )
        : (
          <ul class="list">
            {users.map((user) => (
              <li>
                <a href={`/users/${user.id}`} dir="auto">{user.name}</a>
                <p class="hint">
                  Since <Time at={user.created_at} />
                </p>
              </li>
            ))}
          </ul>
        )}
      <Pager href={next === null ? undefined : `/users?after=${next}`} text="More people" />
      {mayWrite(c)
        ? (
          <section class="panel" aria-labelledby="add">
            <h2 id="add">Add a person</h2>
            <UserForm />
          </section>
        )
        : ""}
    </Layout>,
  );
}

export function userPage(c: Context, user: Versioned): string {
  return page(
    <Layout c={c} title={user.name}>
      <h1 dir="auto">{user.name}</h1>
      <dl class="facts">
        {user.email === undefined ? "" : (
          <div>
            <dt>E-mail address</dt>
            <dd dir="auto">{user.email}</dd>
          </div>
        )}
        <div>
          <dt>Since</dt>
          <dd>
            <Time at={user.created_at} as="moment" />
          </dd>
        </div>
      </dl>
      {mayWrite(c)
        ? (
          <div class="folds">
            <details>
              <summary>Change</summary>
              <UserForm user={user} />
            </details>
            <details>
              <summary>Delete</summary>
              <Form
                action={`/users/${user.id}`}
                method="DELETE"
                button="Delete"
                tone="danger"
                version={user.version}
                label="Delete this person"
              />
            </details>
            {c.get("admin")
              ? (
                <details>
                  <summary>Erase</summary>
                  <Form
                    action={`/users/${user.id}/erase`}
                    button="Erase for good"
                    tone="danger"
                    version={user.version}
                    label="Erase this person"
                  >
                    <p>
                      Name and address are gone from the log too, and cannot be brought back.
                    </p>
                  </Form>
                </details>
              )
              : ""}
          </div>
        )
        : ""}
      <p>
        <a href="/users">All people</a>
      </p>
    </Layout>,
  );
}

/** The rejected form; after a 412 beside the user as it is `now`. */
export function userAgain(c: Context, refused: RejectedForm, now?: Versioned): string {
  const id = Number(c.req.param("id") ?? 0);
  const version = now?.version ?? refused.values._match;
  const user = id > 0 && !isGone(refused) ? { id, name: "", version } : undefined;
  return page(
    <Layout c={c} title={user ? "Error: change a person" : "Error: add a person"}>
      <h1>{user ? "Change a person" : "Add a person"}</h1>
      <Summary refused={refused} />
      <UserForm user={user} refused={refused} />
      <Meanwhile facts={now && { Name: now.name, "E-mail address": now.email ?? "" }} />
      <p>
        <a href="/users">All people</a>
      </p>
    </Layout>,
  );
}
