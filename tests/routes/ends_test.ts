// Lists that show nothing: because they are empty, or because the page is past their end.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { openService, type Service } from "../support/service.ts";
import { waitFor } from "../support/until.ts";

const HTML = { accept: "text/html" };

type List = {
  path: string;
  /** The cursor's parameter, and a cursor past the last entry. */
  cursor: string;
  empty: string;
  fill: (service: Service) => Promise<unknown>;
};

const lists: List[] = [
  {
    path: "/users",
    cursor: "after=999999",
    empty: "Nobody is here yet",
    fill: ({ admin }) => admin().post("/users", { name: "Ada", email: "ada@example.com" }),
  },
  {
    path: "/items",
    cursor: "after=999999",
    empty: "No items yet",
    fill: ({ admin }) => admin().post("/items", { name: "Kettle" }),
  },
  {
    path: "/entries",
    cursor: "before=1",
    empty: "Nobody has signed yet",
    fill: ({ admin }) => admin().post("/sign", { name: "Ada", message: "Hi" }),
  },
  {
    path: "/polls",
    cursor: "before=1",
    empty: "No polls yet",
    fill: ({ admin }) => admin().post("/polls", { question: "Which?", options: ["a", "b"] }),
  },
  {
    path: "/admin/polls",
    cursor: "before=1",
    empty: "No polls yet",
    fill: ({ admin }) => admin().post("/polls", { question: "Which?", options: ["a", "b"] }),
  },
  {
    path: "/admin/entries?state=shown",
    cursor: "before=1",
    empty: "No entry is shown",
    fill: ({ admin }) => admin().post("/sign", { name: "Ada", message: "Hi" }),
  },
  {
    path: "/admin/log?stream=entry-999",
    cursor: "before=1",
    empty: "No event fits",
    fill: () => Promise.resolve(),
  },
];

describe("a list with nothing to show", () => {
  let service: Service;
  before(async () => {
    service = await openService();
    await service.admin().delete("/polls/1");
  });
  after(async () => await service[Symbol.asyncDispose]());

  const textOf = async (path: string) => {
    const answer = await service.admin().get(path, HTML);
    assertEquals(answer.status, 200, path);
    return answer.text;
  };
  const at = (path: string, query: string) => `${path}${path.includes("?") ? "&" : "?"}${query}`;
  const link = (path: string) => `href="${path.replace("&", "&amp;")}"`;
  const emptyOf = (text: string) =>
    text.match(/<div class="empty">.*?<\/div>/s)?.[0] ?? "no empty state";

  for (const { path, cursor, empty } of lists) {
    it(`${path} shows the empty state in its place`, async () => {
      const found = emptyOf(await textOf(path));
      assert(found.includes(empty), found);
      assert(!found.includes("the end"), found);
    });

    it(`${path} says that the list is over, and links to its beginning`, async () => {
      const found = emptyOf(await textOf(at(path, cursor)));
      assert(found.includes("This is the end"), found);
      assert(!found.includes(empty), found);
      assert(found.includes(link(path)), found);
    });
  }

  for (const [path, zero] of [["/users", "after=0"], ["/items", "after=0"]] as const) {
    it(`${path}?${zero} is its beginning`, async () => {
      assertEquals(await textOf(at(path, zero)), await textOf(path));
    });
  }

  it("shows new records as soon as they exist, and ends as before", async () => {
    for (const { path, cursor, empty, fill } of lists.slice(0, 6)) {
      await fill(service);
      assert(!(await textOf(path)).includes(empty), path);
      assert(emptyOf(await textOf(at(path, cursor))).includes("This is the end"), path);
    }
  });
});

describe("a new site", () => {
  it("shows no hit rate before the first request, and one afterwards", async () => {
    await using service = await openService();
    const rateIn = async (path: string) => {
      const { text } = await service.admin().get(path, HTML);
      return text.match(/Cache hit rate(?:<\/a>)?<\/dt>\s*<dd>([^<]*)</)?.[1];
    };
    assertEquals(await rateIn("/admin"), "–");
    await waitFor(async () => /^\d+ %$/.test(await rateIn("/") ?? ""));
    assert(/^\d+ %$/.test(await rateIn("/admin") ?? ""));
  });
});
