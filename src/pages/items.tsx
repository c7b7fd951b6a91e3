// The pages of items.
import type { Context } from "../http/context.ts";
import type { Item, ItemPage, ItemRow } from "$projections/items.ts";
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
  Text,
} from "./parts.tsx";

/** With ACCESS=guarded only the admin sees forms that change something. */
export function mayWrite(c: Context): boolean {
  return c.get("admin") || c.get("services").config.ACCESS === "open";
}

type Filled = Item & { version?: number | string };

type ItemFormFrame = { item?: Filled; refused?: RejectedForm };

function ItemForm({ item, refused }: ItemFormFrame) {
  return (
    <Form
      action={item ? `/items/${item.id}` : "/items"}
      method={item ? "PUT" : undefined}
      button={item ? "Save" : "Add"}
      version={item?.version}
      label={item ? "Change this item" : "Add an item"}
    >
      <Field name="name" label="Name" value={item?.name} refused={refused} />
      <Field
        name="description"
        label="Description"
        rows={3}
        max={2000}
        required={false}
        value={item?.description}
        refused={refused}
      />
    </Form>
  );
}

/** `paged`: not the first page. */
type Listed = ItemPage & { paged: boolean };

export function itemsPage(c: Context, { items, next, paged }: Listed): string {
  return page(
    <Layout c={c} title="Items">
      <h1>Items</h1>
      {items.length === 0
        ? paged
          ? <PastEnd href="/items" text="Items from the beginning" />
          : (
            <Empty title="No items yet">
              <p>
                {mayWrite(c) ? "Add the first one below." : "Whatever is added will stand here."}
              </p>
            </Empty>
          )
        : (
          <ul class="list">
            {items.map((item) => (
              <li>
                <a href={`/items/${item.id}`} dir="auto">{item.name}</a>
                <p class="clip" dir="auto">{item.description}</p>
              </li>
            ))}
          </ul>
        )}
      <Pager href={next === null ? undefined : `/items?after=${next}`} text="More items" />
      {mayWrite(c)
        ? (
          <section class="panel" aria-labelledby="add">
            <h2 id="add">Add an item</h2>
            <ItemForm />
          </section>
        )
        : ""}
    </Layout>,
  );
}

export function itemPage(c: Context, item: ItemRow): string {
  return page(
    <Layout c={c} title={item.name}>
      <h1 dir="auto">{item.name}</h1>
      {item.description === ""
        ? <p class="hint">No description.</p>
        : <Text text={item.description} />}
      {mayWrite(c)
        ? (
          <div class="folds">
            <details>
              <summary>Change</summary>
              <ItemForm item={item} />
            </details>
            <details>
              <summary>Delete</summary>
              <Form
                action={`/items/${item.id}`}
                method="DELETE"
                button="Delete"
                tone="danger"
                version={item.version}
                label="Delete this item"
              />
            </details>
          </div>
        )
        : ""}
      <p>
        <a href="/items">All items</a>
      </p>
    </Layout>,
  );
}

/** The rejected form; after a 412 beside the item as it is `now`. */
export function itemAgain(c: Context, refused: RejectedForm, now?: ItemRow): string {
  const id = Number(c.req.param("id") ?? 0);
  const version = now?.version ?? refused.values._match;
  const item = id > 0 && !isGone(refused) ? { id, name: "", description: "", version } : undefined;
  return page(
    <Layout c={c} title={item ? "Error: change an item" : "Error: add an item"}>
      <h1>{item ? "Change an item" : "Add an item"}</h1>
      <Summary refused={refused} />
      <ItemForm item={item} refused={refused} />
      <Meanwhile facts={now && { Name: now.name, Description: now.description }} />
      <p>
        <a href="/items">All items</a>
      </p>
    </Layout>,
  );
}
