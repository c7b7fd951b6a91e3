// Invalid input gets the right status and names the field, and nothing is stored; odd but valid input
// comes back unchanged.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { fieldsOf, idOf } from "../support/api.ts";
import { openService, type Service } from "../support/service.ts";

const HOSTILE = [
  "<script>alert(1)</script>",
  "'; drop table events; --",
  `" onmouseover="x`,
  "Robert'); DELETE FROM read.users;--",
  "🙂👩‍👩‍👧‍👦🏳️‍🌈",
  "שלום עולם",
  "مرحبا",
  "漢字とかな",
  "a\\b\\n%s${x}{{y}}",
  "e\u0301",
];

// Filler letters, the Braille pattern without dots, a note without a head: each is drawn as nothing.
const BLANK = [
  "\u2800",
  "\u3164",
  "\u115f",
  "\u1160",
  "\uffa0",
  "\u{1d159}",
  "\u{13441}",
  "\u{16fe4}",
];

describe("input", () => {
  let service: Service;
  before(async () => {
    service = await openService();
  });
  after(async () => await service[Symbol.asyncDispose]());

  /** Events other than views, which are written down by themselves. */
  const stored = async () => {
    const [row] = await service.place.owner<{ n: number }[]>`
      select count(*) as n from events where type <> 'VisitsCounted'`;
    return row?.n;
  };

  const fields: [path: string, field: string, max: number, good: Record<string, unknown>][] = [
    ["/sign", "name", 100, { name: "x", message: "y" }],
    ["/sign", "message", 2000, { name: "x", message: "y" }],
    ["/users", "name", 100, { name: "x", email: "x@example.com" }],
    ["/items", "name", 100, { name: "x" }],
    ["/items", "description", 2000, { name: "x" }],
    ["/polls", "question", 300, { question: "x", options: ["a", "b"] }],
  ];

  for (const [path, field, max, good] of fields) {
    it(`in ${field} of POST ${path} is refused where it has nothing visible, as JSON and as a form`, async () => {
      const before = await stored();
      const wrong: unknown[] = [
        "x".repeat(max + 1),
        "🙂".repeat(max + 1),
        "a\u0000b",
        "a\u0007b",
        "a\u001bb",
        "\ud800",
        null,
        5,
        ["x"],
        { x: 1 },
      ];
      if (field !== "description") {
        wrong.push("", "   ", "\n\t", "\u200b", "\u2060\u200e", ...BLANK, BLANK.join(" \u200d"));
      }
      if (field !== "message" && field !== "description") wrong.push("a\nb", "a\tb");
      for (const value of wrong) {
        const body = { ...good, [field]: value };
        const answer = await service.admin().post(path, body);
        const what = JSON.stringify(value)?.slice(0, 40);
        assertEquals([answer.status, fieldsOf(answer)], [422, [field]], what);
        if (typeof value !== "string" || !value.isWellFormed() || "options" in good) continue;
        const form = await service.admin().form(path, body as Record<string, string>);
        assertEquals([form.status, fieldsOf(form)], [422, [field]], `form: ${what}`);
      }
      assertEquals(await stored(), before);
    });

    it(`in ${field} of POST ${path} may be any text of up to ${max} characters, and is trimmed`, async () => {
      for (const text of [...HOSTILE, "🙂".repeat(max)]) {
        const unique = path === "/users" ? { email: `${crypto.randomUUID()}@example.com` } : {};
        const body = { ...good, ...unique, [field]: `  ${text} ` };
        const answer = await service.admin().post(path, body);
        assertEquals(answer.status, 201, `${text.slice(0, 40)}: ${answer.text}`);
        const place = answer.headers.get("location") ?? "";
        assertEquals((await service.client().get(place)).get(field), text);
        const page = await service.client().get(place, { accept: "text/html" });
        assertEquals(page.status, 200);
        assert(!page.text.includes("<script>alert"), place);
      }
    });
  }

  it("may hold a blank character beside a visible one", async () => {
    for (const blank of BLANK) {
      const answer = await service.client().post("/items", { name: `${blank}x` });
      assertEquals([answer.status, answer.get("name")], [201, `${blank}x`]);
    }
  });

  it("is refused with every wrong field named at once, and a missing one", async () => {
    const answer = await service.client().post("/sign", { name: "", message: 3 });
    assertEquals(fieldsOf(answer).sort(), ["message", "name"]);
    assertEquals(fieldsOf(await service.client().post("/users", {})).sort(), ["email", "name"]);
    assertEquals(answer.headers.get("content-type"), "application/problem+json");
    const page = await service.client().form("/sign", { name: "" }, { accept: "text/html" });
    assertEquals(page.status, 422);
    assert(page.text.includes("message"));
  });

  it("is refused for malformed e-mail addresses", async () => {
    const before = await stored();
    const wrong = [
      "",
      "x",
      "x@",
      "@example.com",
      "a b@example.com",
      "x@y",
      `${"x".repeat(250)}@example.com`,
      "a@b@example.com",
      "x@example.com\nbcc: y@example.com",
      5,
      null,
    ];
    for (const email of wrong) {
      const answer = await service.client().post("/users", { name: "x", email });
      assertEquals([answer.status, fieldsOf(answer)], [422, ["email"]], String(email).slice(0, 40));
    }
    assertEquals(await stored(), before);
  });

  it("gets 404 for malformed ids of any kind", async () => {
    await service.client().post("/items", { name: "one" });
    for (
      const id of [
        "0",
        "-1",
        "01",
        "1.0",
        "1e0",
        "0x1",
        "+1",
        "%31%20",
        "2147483648",
        "9".repeat(40),
        "one",
        "1;",
        "NaN",
        "%00",
        "٣",
      ]
    ) {
      for (const subject of ["items", "users", "entries", "polls"]) {
        const answer = await service.client().get(`/${subject}/${id}`);
        assertEquals(answer.status, 404, `/${subject}/${id}`);
      }
      assertEquals((await service.client().put(`/items/${id}`, { name: "x" })).status, 404, id);
      assertEquals((await service.client().delete(`/items/${id}`)).status, 404, id);
    }
    for (const path of ["/nowhere", "/users/1/2", "/%", "/items/", "/..%2fetc"]) {
      assertEquals((await service.client().get(path)).status, 404, path);
    }
  });

  it("is refused by name for a closing time that is invalid or beyond four-digit years", async () => {
    const before = await stored();
    const poll = { question: "x", options: ["a", "b"] };
    for (
      const [closesAt, message] of [
        ["tomorrow", "is not a date and time"],
        [5, "is not a date and time"],
        ["2099-02-30T00:00:00Z", "is not a date and time"],
        ["9999-12-31T23:59:59-14:00", "is after the year 9999"],
      ]
    ) {
      const answer = await service.admin().post("/polls", { ...poll, closes_at: closesAt });
      const wrong = [{ field: "closes_at", message }];
      assertEquals([answer.status, answer.get("errors")], [422, wrong], String(closesAt));
    }
    assertEquals(await stored(), before);
  });

  it("is refused with an explanation for a vote without an option", async () => {
    for (const [option, message] of [[5, "is not an option"], [undefined, "is missing"]]) {
      const answer = await service.client().post("/vote", { option });
      assertEquals([answer.status, answer.get("errors")], [422, [{ field: "option", message }]]);
    }
  });

  it("is stored without its unknown fields", async () => {
    const body = { name: "x", description: "y", id: 999, version: 7, __proto__: { admin: true } };
    const item = await service.client().post("/items", body);
    assertEquals(item.status, 201);
    assert(idOf(item) !== 999);
    const text = '{"name":"x","__proto__":{"name":"y"},"constructor":{"name":"z"}}';
    const odd = await service.client().ask("/items", {
      method: "POST",
      body: text,
      headers: { "content-type": "application/json" },
    });
    assertEquals([odd.status, odd.get("name")], [201, "x"]);
  });
});
