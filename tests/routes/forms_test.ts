// Forms without JavaScript: the version a form was filled from, and how it prevents lost updates.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type ApiClient, idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";

const HTML = { accept: "text/html" };
const PROBLEM = "application/problem+json";

type Subject = {
  noun: string;
  /** Creates a record; returns the page with its forms, and their address. */
  make: (service: Service) => Promise<{ client: ApiClient; page: string; action: string }>;
  first: Record<string, string>;
  second: Record<string, string>;
  /** Every typed value, and the address for a new record if the old one is gone. */
  typed: Record<string, string>;
  anew: string;
};

const subjects: Subject[] = [
  {
    noun: "an item",
    async make(service) {
      const client = service.client();
      const path = `/items/${idOf(await client.post("/items", { name: "Kettle" }))}`;
      return { client, page: path, action: path };
    },
    first: { name: "First" },
    second: { name: "Second" },
    typed: { name: "Kettle & Co", description: "It <b>whistles</b>" },
    anew: "/items",
  },
  {
    noun: "a person",
    async make(service) {
      const client = service.client();
      const user = { name: "Ada", email: `${crypto.randomUUID()}@example.com` };
      const path = `/users/${idOf(await client.post("/users", user))}`;
      return { client, page: path, action: path };
    },
    first: { name: "First" },
    second: { name: "Second" },
    typed: { name: "Ada L.", email: "ada.l@example.com" },
    anew: "/users",
  },
  {
    noun: "an entry of one's own",
    async make(service) {
      const client = service.client();
      const id = idOf(await client.post("/sign", { name: "Ada", message: "Hi" }));
      return { client, page: "/entries/mine", action: `/entries/${id}` };
    },
    first: { message: "First" },
    second: { message: "Second" },
    typed: { name: "Ada L.", message: "A long text\nthat took an hour" },
    anew: "/sign",
  },
  {
    noun: "a poll",
    async make(service) {
      const client = service.admin();
      const id = idOf(await client.post("/polls", { question: "Old?", options: ["a", "b"] }));
      return { client, page: `/admin/polls/${id}`, action: `/polls/${id}` };
    },
    first: { question: "First" },
    second: { question: "Second" },
    typed: { question: "Which tea?", options: "Green\nBlack", results: "after_close" },
    anew: "/polls",
  },
];

function formIn(page: string, action: string): string {
  const forms = page.match(/<form .*?<\/form>/gs) ?? [];
  return forms.find((one) => one.includes(`action="${action}"`)) ?? "no such form";
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
const plain = (html: string) => html.replace(/&([#\w]+);/g, (_, name) => ENTITIES[name] ?? "?");

/** The fields that a browser would send of a form, without the empty ones. */
function valuesIn(form: string): Record<string, string> {
  const found: [string, string][] = [];
  for (const [, tag = ""] of form.matchAll(/<input ([^>]*)>/g)) {
    const at = (name: string) => tag.match(new RegExp(`(?:^| )${name}="([^"]*)"`))?.[1];
    found.push([at("name") ?? "", plain(at("value") ?? "")]);
  }
  for (const [, name = "", text = ""] of form.matchAll(/<textarea .*?name="(\w+)".*?>\n(.*?)</gs)) {
    found.push([name, plain(text)]);
  }
  for (
    const [, name = "", rest = ""] of form.matchAll(/<select .*?name="(\w+)"(.*?)<\/select>/gs)
  ) {
    const chosen = rest.match(/value="(\w+)" selected/)?.[1];
    if (chosen !== undefined) found.push([name, chosen]);
  }
  return Object.fromEntries(found.filter(([, value]) => value !== ""));
}

/** The version in the form with this method and address. */
function versionIn(page: string, action: string, method?: string): string {
  const forms = page.match(/<form .*?<\/form>/gs) ?? [];
  const form = forms.find((one) =>
    one.includes(`action="${action}"`) &&
    (method === undefined || one.includes(`name="_method" value="${method}"`))
  );
  return form?.match(/name="_match" value="(\d+)"/)?.[1] ?? "none";
}

describe("a form", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  for (const { noun, make, first, second } of subjects) {
    it(`that changes ${noun} is refused after a concurrent change, and keeps what was typed`, async () => {
      const { client, page, action } = await make(service);
      const _match = versionIn((await client.get(page, HTML)).text, action, "PUT");
      assertEquals(_match, "1");
      const save = (fields: Record<string, string>, match: string) =>
        client.form(action, { _method: "PUT", _match: match, ...fields }, HTML);
      assertEquals((await save(first, _match)).status, 303);
      const late = await save(second, _match);
      assertEquals(late.status, 412);
      assertMatch(late.text, /Changed meanwhile/);
      assert(late.text.includes("Second"), "what was typed");
      assert(late.text.includes("First"), "what is there now");
      const fresh = versionIn(late.text, action, "PUT");
      assertEquals(fresh, "2");
      assertEquals((await save(second, fresh)).status, 303);
    });
  }

  for (const { noun, make, typed, anew } of subjects) {
    it(`that changes ${noun} deleted meanwhile says so, and keeps what was typed`, async () => {
      const { client, action } = await make(service);
      assertEquals((await service.admin().delete(action)).status, 200);
      const late = await client.form(action, { _method: "PUT", _match: "1", ...typed }, HTML);
      assertEquals(late.status, 404);
      assertMatch(late.text, /Taken away meanwhile/);
      assertEquals(late.headers.get("cache-control"), "no-store");
      const form = formIn(late.text, anew);
      assertEquals(valuesIn(form), typed, "what was typed, in a form that can be sent");
      assert(!form.includes("_method") && !form.includes("_match"), "as something new");
      assertEquals((await client.form(anew, valuesIn(form), HTML)).status, 303);
      assertEquals((await client.put(action, typed)).headers.get("content-type"), PROBLEM);
    });
  }

  it("that deletes a record changed meanwhile is refused", async () => {
    const client = service.client();
    const action = `/items/${idOf(await client.post("/items", { name: "Kettle" }))}`;
    const _match = versionIn((await client.get(action, HTML)).text, action, "DELETE");
    await client.put(action, { name: "Changed" });
    const late = await client.form(action, { _method: "DELETE", _match }, HTML);
    assertEquals(late.status, 412);
    assertMatch(late.text, /That was changed meanwhile/);
    assertEquals((await client.get(action)).get("name"), "Changed");
  });

  it("that approves an entry applies only to the version that was read", async () => {
    await using moderated = await service.place.open({ MODERATION: "before" });
    const author = moderated.client();
    const admin = moderated.admin();
    const id = idOf(await author.post("/sign", { name: "Ada", message: "Hi" }));
    const desk = async () => (await admin.get("/admin/entries?state=held", HTML)).text;
    const approve = `/entries/${id}/restore`;
    const _match = versionIn(await desk(), approve);
    await author.put(`/entries/${id}`, { message: "Buy now" });
    assertEquals((await admin.form(approve, { _match }, HTML)).status, 412);
    assertEquals((await author.get(`/entries/${id}`)).status, 404);
    const again = versionIn(await desk(), approve);
    assertEquals((await admin.form(approve, { _match: again }, HTML)).status, 303);
    assertEquals((await author.get(`/entries/${id}`)).get("message"), "Buy now");
  });
});
