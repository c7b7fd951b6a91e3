// /openapi.json compared with the running service: its routes, statuses and schemas; and requests
// generated from it, valid and invalid, that must never cause a 5xx.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { rounds } from "../support/rounds.ts";
import { trial } from "../support/trial.ts";
import fc from "fast-check";
import { z } from "zod";
import { endpoints } from "$src/app.ts";
import { ApiClient, type ApiResponse } from "../support/api.ts";
import { connect, type Sql } from "$src/connections/postgres.ts";
import { serverUrl } from "../support/database.ts";
import { ADMIN_TOKEN, openService, type Service } from "../support/service.ts";

const REQUESTS = rounds(800, 5000);
const SEED = Number(Deno.env.get("CONTRACT_SEED") ?? Date.now() % 1_000_000);
const METHODS = ["get", "post", "put", "delete"] as const;

type Schema = Record<string, unknown>;
type Media = Record<string, { schema?: Schema }>;
type Parameter = { name: string; in: "path" | "query"; schema: Schema };
type Operation = {
  parameters: Parameter[];
  requestBody?: { content: Media };
  responses: Record<string, { content?: Media }>;
  security?: unknown[];
};
type Document = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};
type Call = { path: string; method: string; operation: Operation };

/** Event streams have no end, so they have a test of their own. */
const isStream = ({ operation }: Call) =>
  operation.responses["200"]?.content?.["text/event-stream"] !== undefined;

describe("the OpenAPI document", () => {
  let service: Service;
  let document: Document;
  let calls: Call[];
  const seen = new Set<number>();

  before(async () => {
    service = await openService({
      SAMPLE_DATA: "true",
      MODERATION: "before",
      TRUSTED_PROXIES: "127.0.0.1",
    });
    document = JSON.parse((await service.client().get("/openapi.json")).text);
    calls = Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({ path, method, operation }))
    );
    for (const text of ["one", "two"]) {
      const client = service.admin();
      await client.post("/sign", { name: "Ada", message: text });
      await client.post("/polls/1/votes", { option: "option_a" });
    }
  });
  after(async () => await service[Symbol.asyncDispose]());

  function resolve(schema: Schema): Schema {
    const name = typeof schema.$ref === "string" ? schema.$ref.split("/").at(-1) : undefined;
    return name === undefined ? schema : document.components.schemas[name] ?? {};
  }

  const validators = new Map<Schema, z.ZodType>();
  function validator(schema: Schema): z.ZodType {
    const known = validators.get(schema);
    if (known) return known;
    const made = z.fromJSONSchema(resolve(schema) as Parameters<typeof z.fromJSONSchema>[0]);
    validators.set(schema, made);
    return made;
  }

  /** Whether the document allows this response to this call. */
  function assertDocumented(
    { path, method, operation }: Call,
    answer: ApiResponse,
    what: string,
  ): void {
    seen.add(answer.status);
    const place = `${method} ${path} -> ${answer.status}: ${what}\n${answer.text.slice(0, 300)}`;
    assert(answer.status < 500, place);
    if (answer.status === 304) return;
    const reply = operation.responses[String(answer.status)];
    if (!reply) throw new Error(`not documented: ${place}`);
    if (!reply.content || answer.status === 303) return;
    const type = answer.headers.get("content-type")?.split(";")[0] ?? "";
    const media = reply.content[type];
    if (!media) throw new Error(`${type} is not documented: ${place}`);
    if (!media.schema) return;
    const values = type.endsWith("ndjson")
      ? answer.text.split("\n").filter(Boolean).map((line) => JSON.parse(line))
      : [answer.get()];
    for (const value of values) {
      const result = validator(media.schema).safeParse(value);
      assert(result.success, `does not fit its schema: ${place} ${result.error?.message}`);
    }
  }

  it("lists the service's routes, all of them and no other", () => {
    const listed = calls.map(({ path, method }) => `${method} ${path}`).sort();
    const served = endpoints.map(({ spec }) =>
      `${spec.method} ${spec.path.replaceAll(/:(\w+)/g, "{$1}")}`
    ).sort();
    assertEquals(listed, served);
    assertEquals(new Set(listed).size, listed.length);
  });

  it("is complete: every other method of its addresses is refused", async () => {
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const method of [...METHODS, "patch"].filter((one) => !(one in operations))) {
        const address = path.replace("{id}", "1").replace("{receipt}", "x").replace(
          "{position}",
          "1",
        );
        const answer = await service.admin().ask(address, { method: method.toUpperCase() });
        assertEquals(answer.status, 405, `${method} ${path}`);
        const allowed = answer.headers.get("allow")?.toLowerCase().split(", ") ?? [];
        assertEquals(
          allowed.filter((one) => METHODS.some((method) => method === one)).sort(),
          Object.keys(operations).sort(),
          path,
        );
        seen.add(405);
      }
    }
  });

  /** Values for a parameter or a field: valid ones, nearly valid ones, and invalid ones. */
  function values(schema: Schema): fc.Arbitrary<unknown> {
    const fitting: fc.Arbitrary<unknown>[] = [];
    const { type, enum: choices, anyOf, properties, items, format } = resolve(schema);
    if (Array.isArray(choices)) fitting.push(fc.constantFrom(...choices));
    if (Array.isArray(anyOf)) fitting.push(...anyOf.map((one: Schema) => values(one)));
    if (type === "integer") fitting.push(fc.integer({ min: 1, max: 6 }));
    if (type === "string") {
      fitting.push(
        fc.string({ minLength: 1, maxLength: 20 }),
        fc.string({ unit: "binary", maxLength: 8 }),
      );
      fitting.push(
        fc.constantFrom("option_a", "1", "/", "Spring", "'; drop table events; --", "<script>"),
      );
    }
    if (format === "email") {
      fitting.push(fc.integer({ min: 1, max: 40 }).map((n) => `user${n}@example.com`));
    }
    if (type === "array" && items) {
      fitting.push(fc.array(values(items as Schema), { maxLength: 22 }));
    }
    if (properties) fitting.push(objects(properties as Record<string, Schema>));
    const odd = fc.oneof(
      fc.constantFrom(null, "", 0, -1, 1.5, 99999999999999999999, true, [], {}, "x".repeat(3000)),
      fc.constantFrom(
        "0x10",
        "1e3",
        " 1",
        "\u0000",
        "\ud800",
        "a\u0007b",
        "\u202eabc",
        "🙂".repeat(60),
      ),
      fc.string({ unit: "binary", maxLength: 10 }),
    );
    return fitting.length === 0
      ? odd
      : fc.oneof({ weight: 5, arbitrary: fc.oneof(...fitting) }, { weight: 1, arbitrary: odd });
  }

  function objects(properties: Record<string, Schema>): fc.Arbitrary<Record<string, unknown>> {
    const fields = Object.entries(properties).map(([name, schema]) => [name, values(schema)]);
    return fc.record(Object.fromEntries(fields), { requiredKeys: [] });
  }

  /** Mostly includes all fields, because few requests with half of them get far. */
  function bodies(operation: Operation): fc.Arbitrary<unknown> {
    const schema = operation.requestBody?.content["application/json"]?.schema;
    const properties = schema && resolve(schema).properties;
    if (!properties) return fc.constant(undefined);
    const fields = Object.entries(properties as Record<string, Schema>)
      .map(([name, one]) => [name, values(one)]);
    const whole = fc.record(Object.fromEntries(fields));
    return fc.oneof(
      { weight: 4, arbitrary: whole },
      { weight: 1, arbitrary: objects(properties as Record<string, Schema>) },
      { weight: 1, arbitrary: fc.jsonValue() },
    );
  }

  type Made = {
    call: Call;
    path: string;
    body: unknown;
    as: "json" | "form" | "text" | "broken";
    headers: Record<string, string>;
    who: "admin" | "visitor" | "nobody" | "wrong";
  };

  function requests(call: Call): fc.Arbitrary<Made> {
    const of = (place: "path" | "query") =>
      call.operation.parameters.filter((parameter) => parameter.in === place);
    const paths = fc.record(
      Object.fromEntries(of("path").map(({ name, schema }) => [name, values(schema)])),
    );
    const queries = objects(
      Object.fromEntries(of("query").map(({ name, schema }) => [name, schema])),
    );
    const headers = fc.record({
      "idempotency-key": fc.constantFrom(
        "1",
        "2",
        "a-key-of-more-than-sixteen-characters",
        "",
        "k k",
      ),
      "if-match": fc.constantFrom("*", '"1"', 'W/"2"', '"1", "2"', "nonsense", '"1.5"'),
      "if-none-match": fc.constantFrom("*", '"1"', "nonsense"),
      "accept": fc.constantFrom("application/json", "text/html", "*/*", "image/png", ""),
      "x-forwarded-for": fc.constantFrom("10.0.0.1", "nonsense"),
      "cookie": fc.constantFrom("visitor=a.b", "session=x", "visitor=", "visitor=%00"),
      "last-event-id": fc.constantFrom("1", "x", "99999999999"),
    }, { requiredKeys: [] });
    return fc.record({
      params: paths,
      query: queries,
      body: bodies(call.operation),
      as: fc.constantFrom("json" as const, "json", "json", "form", "text", "broken"),
      headers: fc.oneof(
        { weight: 2, arbitrary: fc.constant({}) },
        { weight: 1, arbitrary: headers },
      ),
      who: fc.constantFrom("admin" as const, "admin", "visitor", "nobody"),
    }).map(({ params, query, ...rest }) => {
      const address = call.path.replaceAll(/\{(\w+)\}/g, (_, name) => encoded(params[name]));
      const search = new URLSearchParams(
        Object.entries(query).map(([name, value]) => [name, textOf(value)]),
      );
      return { call, path: search.size > 0 ? `${address}?${search}` : address, ...rest };
    });
  }

  async function send(
    { call, path, body, as, headers, who }: Made,
    visitor: ApiClient,
  ): Promise<ApiResponse> {
    const client = who === "visitor"
      ? visitor
      : new ApiClient(service.url, who === "admin" ? ADMIN_TOKEN : undefined);
    // Made-up tokens are guesses, so each comes from an address of its own.
    if (call.path === "/admin/login") headers = { "x-forwarded-for": crypto.randomUUID() };
    const method = call.method.toUpperCase();
    if (method === "GET" || method === "DELETE") return await client.ask(path, { method, headers });
    if (as === "form" && typeof body === "object" && body !== null) {
      const form = Object.entries(body).map((
        [name, value],
      ): [string, string] => [name, textOf(value)]);
      return await client.ask(path, { method, headers, form });
    }
    const text = body === undefined ? "" : JSON.stringify(body);
    const type = as === "text" ? "text/plain" : "application/json";
    const sent = as === "broken" ? text.slice(0, -1) : text;
    return await client.ask(path, {
      method,
      headers: { ...headers, "content-type": type },
      body: sent,
    });
  }

  it("matches the response of each successful call", async () => {
    const admin = service.admin();
    const user = await admin.post("/users", { name: "Grace", email: "grace@example.org" });
    const item = await admin.post("/items", { name: "Lamp" });
    const entry = await admin.post("/sign", { name: "Grace", message: "Hi" });
    const poll = await admin.post("/polls", { question: "?", options: ["a", "b"] });
    const vote = await admin.post(`/polls/${poll.get("id")}/votes`, { option: "a" });
    const ids: Record<string, unknown> = {
      users: user.get("id"),
      items: item.get("id"),
      entries: entry.get("id"),
      polls: poll.get("id"),
    };
    const bodies: Record<string, unknown> = {
      "/sign": { name: "a", message: "b" },
      "/users": { name: "a", email: "all.is.well@example.org" },
      "/items": { name: "a" },
      "/polls": { question: "?", options: ["a", "b"] },
      "/polls/{id}/votes": { option: "b" },
      "/vote": { option: "option_a" },
      "/admin/login": { token: ADMIN_TOKEN },
      "/admin/replay": { projection: "items" },
    };
    const last = (call: Call) => call.method === "delete" || /erase|logout/.test(call.path) ? 1 : 0;
    const inOrder = calls.filter((call) => !isStream(call)).toSorted((a, b) => last(a) - last(b));
    const failed: string[] = [];
    for (const call of inOrder) {
      const own = call.path.replace(/^\/(embed|admin)\/(?=polls|entries|sign)/, "/");
      const subject = own.split("/")[1] ?? "";
      const path = call.path.replace("{id}", String(ids[subject])).replace("{position}", "1")
        .replace("{receipt}", String(vote.get("receipt")));
      const method = call.method.toUpperCase();
      const json = method === "POST" || method === "PUT" ? bodies[own] ?? {} : undefined;
      const answer = await admin.ask(path, { method, json });
      assertDocumented(call, answer, path);
      const gone = last(call) === 1 && answer.status === 404;
      if (answer.status >= 300 && !gone) {
        failed.push(`${method} ${path}: ${answer.status} ${answer.text}`);
      }
    }
    assertEquals(failed, []);
  });

  it(
    `matches ${REQUESTS} requests generated from it, none of which causes a 5xx`,
    trial("requests made up from the contract", SEED, async (figure) => {
      // A replay, a check or a logout for each request would test these and not the document.
      const tried = calls.filter((call) =>
        !isStream(call) && !/^\/admin\/(replay|verify)/.test(call.path)
      );
      const visitor = service.client();
      const made = fc.constantFrom(...tried).chain(requests);
      const property = fc.asyncProperty(made, async (request) => {
        const answer = await send(request, visitor);
        if (answer.headers.get("content-type")?.startsWith("text/html")) {
          assert(answer.status < 500, `${request.path}: ${answer.text}`);
          seen.add(answer.status);
          return;
        }
        assertDocumented(request.call, answer, JSON.stringify(request).slice(0, 1500));
      });
      await fc.assert(property, { numRuns: REQUESTS, seed: SEED, endOnFailure: true });
      figure(`${REQUESTS} requests`);
    }),
  );

  it("describes the beginning of each event stream", async () => {
    const poll = await service.admin().post("/polls", { question: "?", options: ["a", "b"] });
    for (const { path } of calls.filter(isStream)) {
      const url = new URL(path.replace("{id}", String(poll.get("id"))), service.url);
      const stop = new AbortController();
      const headers = { authorization: `Bearer ${ADMIN_TOKEN}` };
      const { status, headers: given } = await fetch(url, { signal: stop.signal, headers });
      stop.abort();
      assertEquals(
        [status, given.get("content-type")?.split(";")[0]],
        [200, "text/event-stream"],
        path,
      );
    }
  });

  it("lists every status of the API, and the service returns each of them", async () => {
    const client = service.client();
    const note = async (answer: Promise<ApiResponse>) => seen.add((await answer).status);
    const id = Number((await client.post("/items", { name: "x" })).get("id"));
    await note(client.get(`/items/${id}`));
    await note(client.post("/items", { name: "x" }));
    await note(client.ask("/items", { method: "OPTIONS" }));
    await note(client.form("/sign", { name: "x", message: "y" }));
    await note(client.get(`/items/${id}`, { "if-none-match": "*" }));
    await note(
      client.ask("/items", {
        method: "POST",
        body: "{",
        headers: { "content-type": "application/json" },
      }),
    );
    await note(client.post("/polls", {}));
    await note(client.post("/items", { name: "x" }, { origin: "https://elsewhere.example" }));
    await note(client.get("/items/999999"));
    await note(client.ask("/items", { method: "PATCH" }));
    const body = { name: "x", email: "twice@example.org" };
    await note(client.post("/users", body));
    await note(client.post("/users", body));
    await note(client.put(`/items/${id}`, { name: "y" }, { "if-match": '"9"' }));
    await note(client.post("/items", { name: "x".repeat(70_000) }));
    await note(
      client.ask("/items", { method: "POST", body: "x", headers: { "content-type": "text/csv" } }),
    );
    await note(client.post("/items", { name: "" }));
    for (let i = 0; i < 11; i++) {
      await note(client.get("/events", { authorization: "Bearer wrong" }));
    }
    await using server = disposing(connect(serverUrl(), { max: 1 }));
    const name = service.place.databaseName;
    await server.sql.unsafe(`alter database ${name} allow_connections false`);
    await server.sql`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = ${name}`;
    try {
      const down = await service.client().get("/health");
      assertEquals([down.status, down.get("postgres")], [503, "down"]);
      await note(Promise.resolve(down));
      const write = await service.client().post("/items", { name: "x" });
      assertEquals(write.status, 503, write.text);
      assert(Number(write.headers.get("retry-after")) >= 1);
    } finally {
      await server.sql.unsafe(`alter database ${name} allow_connections true`);
    }
    const all = [
      200,
      201,
      204,
      303,
      304,
      400,
      401,
      403,
      404,
      405,
      409,
      412,
      413,
      415,
      422,
      429,
      503,
    ];
    assertEquals(all.filter((status) => !seen.has(status)), []);
  });
});

function disposing(sql: Sql): AsyncDisposable & { sql: Sql } {
  return { sql, [Symbol.asyncDispose]: () => sql.end() };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.toWellFormed() : JSON.stringify(value) ?? "";
}

function encoded(value: unknown): string {
  const text = encodeURIComponent(textOf(value));
  // A value that changes which address is called makes it another call.
  return text === "" || /^\.+$/.test(text) ? "0" : text;
}
