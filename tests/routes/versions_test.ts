// If-Match on every write to something that has versions: a stale version is refused and changes nothing,
// the current one succeeds. The list of such calls is compared with the OpenAPI document.
import { assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";

type Call = { method: string; path: string; body?: Record<string, unknown>; first?: string };

const calls: Call[] = [
  { method: "PUT", path: "/users/{id}", body: { name: "New" } },
  { method: "DELETE", path: "/users/{id}" },
  { method: "POST", path: "/users/{id}/erase" },
  { method: "PUT", path: "/items/{id}", body: { name: "New" } },
  { method: "DELETE", path: "/items/{id}" },
  { method: "PUT", path: "/entries/{id}", body: { message: "New" } },
  { method: "DELETE", path: "/entries/{id}" },
  { method: "PUT", path: "/embed/entries/{id}", body: { message: "New" } },
  { method: "DELETE", path: "/embed/entries/{id}" },
  { method: "POST", path: "/entries/{id}/hide" },
  { method: "POST", path: "/entries/{id}/restore", first: "hide" },
  { method: "POST", path: "/entries/{id}/erase" },
  { method: "PUT", path: "/polls/{id}", body: { question: "New?" } },
  { method: "DELETE", path: "/polls/{id}" },
  { method: "POST", path: "/polls/{id}/close" },
  { method: "POST", path: "/polls/{id}/reopen", first: "close" },
];

type Operation = { parameters: { name: string; in: string }[]; responses: Record<string, unknown> };

describe("If-Match", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  async function make(subject: string): Promise<number> {
    const admin = service.admin();
    const fields = {
      users: { name: "Ada", email: `${crypto.randomUUID()}@example.com` },
      items: { name: "Kettle" },
      polls: { question: "Old?", options: ["a", "b"] },
    }[subject];
    if (fields) return idOf(await admin.post(`/${subject}`, fields));
    return idOf(await admin.post("/sign", { name: "Ada", message: "Hi" }));
  }

  const versionOf = async (subject: string, id: number) => {
    const [row] = await service.place.owner<{ version: number }[]>`
      select version from events where stream = ${`${subject}-${id}`} order by version desc limit 1`;
    return row?.version ?? 0;
  };

  for (const { method, path, body, first } of calls) {
    it(`is honoured by ${method} ${path}`, async () => {
      const admin = service.admin();
      const [, noun = ""] = path.match(/(users|items|entries|polls)/) ?? [];
      const id = await make(noun);
      const stream = { users: "user", items: "item", entries: "entry", polls: "poll" }[noun] ?? "";
      if (first) await admin.post(`/${noun}/${id}/${first}`);
      const version = await versionOf(stream, id);
      const ask = (match: string) =>
        admin.ask(path.replace("{id}", String(id)), {
          method,
          json: body ?? (method === "POST" ? {} : undefined),
          headers: { "if-match": match },
        });
      for (const stale of [`"${version + 1}"`, `"${version - 1}"`, '"nonsense"']) {
        const refused = await ask(stale);
        assertEquals([refused.status, await versionOf(stream, id)], [412, version], stale);
      }
      const done = await ask(`"${version + 5}", W/"${version}"`);
      assertEquals([done.status, await versionOf(stream, id)], [200, version + 1], done.text);
    });
  }

  it("accepts a poll's own ETag, which its votes change, for the version in it", async () => {
    const id = await make("polls");
    const etag = async () => (await service.client().get(`/polls/${id}`)).headers.get("etag") ?? "";
    const before = await etag();
    await service.client().post(`/polls/${id}/votes`, { option: "a" });
    const close = (tag: string) =>
      service.admin().post(`/polls/${id}/close`, {}, { "if-match": tag });
    assertEquals((await close(before)).status, 200);
    assertEquals((await service.admin().post(`/polls/${id}/reopen`)).status, 200);
    assertEquals((await close(before)).status, 412);
    assertEquals((await close(await etag())).status, 200);
  });

  it("is documented for exactly these calls", async () => {
    const document = await service.client().get("/openapi.json");
    const paths = document.get("paths") as Record<string, Record<string, Operation>>;
    const saying = (says: (operation: Operation) => boolean) =>
      Object.entries(paths).flatMap(([path, operations]) =>
        Object.entries(operations).filter(([, operation]) => says(operation))
          .map(([method]) => `${method.toUpperCase()} ${path}`)
      ).sort();
    const honoured = calls.map(({ method, path }) => `${method} ${path}`).sort();
    assertEquals(saying(({ responses }) => "412" in responses), honoured);
    const named = saying(({ parameters }) =>
      parameters.some((one) => one.in === "header" && one.name === "If-Match")
    );
    assertEquals(named, honoured);
  });
});

describe("a form of the admin desk", () => {
  it("that closes or reopens a poll applies only to the version that was read", async () => {
    await using service = await openService();
    const admin = service.admin();
    const html = { accept: "text/html" };
    const id = idOf(await admin.post("/polls", { question: "Old?", options: ["a", "b"] }));
    const versionIn = async (action: string) => {
      const { text } = await admin.get("/admin/polls", html);
      const form = text.match(/<form .*?<\/form>/gs)?.find((one) =>
        one.includes(`action="${action}"`)
      );
      return form?.match(/name="_match" value="(\d+)"/)?.[1] ?? "none";
    };
    for (const verb of ["close", "reopen"]) {
      const action = `/polls/${id}/${verb}`;
      const _match = await versionIn(action);
      await admin.put(`/polls/${id}`, { question: `Changed before ${verb}?` });
      assertEquals((await admin.form(action, { _match }, html)).status, 412, verb);
      const fresh = await versionIn(action);
      assertEquals((await admin.form(action, { _match: fresh }, html)).status, 303, verb);
    }
  });
});
