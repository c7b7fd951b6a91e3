// Attacks on identity: each is refused, and each test names its attack.
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { type Stack, startStack } from "$src/cli/stack/mod.ts";
import { healthy } from "../faults/outcome.ts";

let stack: Stack;

const JSON_TYPE = { "content-type": "application/json", accept: "application/json" };

type Sent = { status: number; headers: Headers; body: Record<string, unknown> };

async function send(
  path: string,
  method: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Sent> {
  const answer = await fetch(stack.url + path, {
    method,
    redirect: "manual",
    headers: { ...JSON_TYPE, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: answer.headers,
    body: text.startsWith("{") ? JSON.parse(text) : {},
  };
}

function cookieOf({ headers }: Sent): string {
  return headers.getSetCookie()[0]?.split(";")[0] ?? "";
}

const admin = () => ({ authorization: `Bearer ${stack.secrets.ADMIN_TOKEN}` });
const vote = (option: string, cookie?: string) =>
  send("/polls/1/votes", "POST", { option }, cookie ? { cookie } : {});

async function voters(): Promise<number> {
  const answer = await fetch(`${stack.url}/polls/1/results`, { headers: JSON_TYPE });
  return (await answer.json()).voters;
}

describe("attacks on identity", () => {
  before(async () => {
    stack = await startStack({ replicas: 2, env: { RATE_LIMIT: "off" } });
    await healthy(stack.apps);
  });
  after(() => stack[Symbol.asyncDispose]());

  const foreign: Record<string, Record<string, string>> = {
    "another site's Origin": { origin: "https://evil.example" },
    "Origin: null of a sandboxed frame": { origin: "null" },
    "a subdomain that is not ours": { origin: "http://127.0.0.1.evil.example" },
    "our host on another port": { origin: "http://127.0.0.1:1" },
    "Sec-Fetch-Site: cross-site": { "sec-fetch-site": "cross-site" },
    "Sec-Fetch-Site: same-site": { "sec-fetch-site": "same-site" },
  };
  for (const [name, headers] of Object.entries(foreign)) {
    it(`cross-site post, ${name}: refused`, async () => {
      for (const path of ["/sign", "/polls/1/votes", "/users", "/items", "/admin/login"]) {
        const { status } = await send(path, "POST", { name: "a", message: "b" }, headers);
        assertEquals(status, 403, path);
      }
    });
  }

  it("cross-site post, our host by another scheme: refused", async () => {
    const { host } = new URL(stack.url);
    for (const scheme of ["https", "ftp"]) {
      const { status } = await send("/items", "POST", { name: "a" }, {
        origin: `${scheme}://${host}`,
        "x-forwarded-proto": scheme,
      });
      assertEquals(status, 403, scheme);
    }
    const { status } = await send("/items", "POST", { name: "a" }, { origin: `http://${host}` });
    assertEquals(status, 201);
  });

  it("cross-site post as plain text, a type that needs no preflight: refused", async () => {
    const answer = await fetch(`${stack.url}/sign`, {
      method: "POST",
      headers: { "content-type": "text/plain", origin: "https://evil.example" },
      body: '{"name":"a","message":"b"}',
    });
    await answer.body?.cancel();
    assertEquals(answer.status, 403);
  });

  it("forged cookie: the voter is taken for a new one", async () => {
    const mine = await vote("option_a");
    const [id = "", signature = ""] = cookieOf(mine).replace("visitor=", "").split(".");
    const forged = [
      `visitor=${id}`,
      `visitor=${id}.`,
      `visitor=${id}.${signature.slice(0, -2)}`,
      `visitor=${id}.${"A".repeat(signature.length)}`,
      `visitor=${id}.${"a".repeat(signature.length)}`,
      `visitor=${id}x.${signature}`,
      `visitor=.${signature}`,
      `visitor=${signature}.${id}`,
      `visitor=${id}.bad; visitor=${id}`,
      `visitor=${id}.${signature}.x`,
      `visitor=${id}.${signature}.${signature}`,
      `visitor=x.${id}.${signature}`,
      `visitor=${id}.${signature.toUpperCase()}`,
      `visitors=${id}.${signature}`,
      `x; xvisitor=${id}.${signature}`,
      `x=visitor=${id}.${signature}`,
    ];
    for (const cookie of forged) {
      const answer = await fetch(`${stack.url}/polls/1/mine`, {
        headers: { ...JSON_TYPE, cookie },
      });
      assertEquals((await answer.json()).options, [], cookie);
    }
  });

  it("forged cookie beside the genuine one: the voter is recognised", async () => {
    const cookie = cookieOf(await vote("option_a"));
    const [id = ""] = cookie.replace("visitor=", "").split(".");
    const bad = ["", "x", id, `${id}.`, `${id}.${"0".repeat(64)}`, `${"0".repeat(32)}.x.y`];
    for (const value of bad) {
      for (const both of [`visitor=${value}; ${cookie}`, `${cookie};visitor=${value}`]) {
        const answer = await fetch(`${stack.url}/polls/1/mine`, {
          headers: { ...JSON_TYPE, cookie: both },
        });
        assertEquals((await answer.json()).options, ["option_a"], both);
      }
    }
  });

  it("mixed cookie parts of two voters: open neither's ballot", async () => {
    const [one, two] = [cookieOf(await vote("option_a")), cookieOf(await vote("option_b"))];
    const swapped = `${one.split(".")[0]}.${two.split(".")[1]}`;
    const answer = await fetch(`${stack.url}/polls/1/mine`, {
      headers: { ...JSON_TYPE, cookie: swapped },
    });
    assertEquals((await answer.json()).options, []);
  });

  it("another voter's ballot: not opened by a receipt, a digest or an id", async () => {
    const victim = await vote("option_a");
    const before = await voters();
    const receipt = String(victim.body.receipt);
    for (const cookie of [`visitor=${receipt}`, `visitor=${receipt}.${receipt}`]) {
      const changed = await vote("option_b", cookie);
      assertNotEquals(changed.body.receipt, receipt);
      assertEquals((await send("/polls/1/votes", "DELETE", undefined, { cookie })).status, 404);
    }
    assertEquals(
      await voters(),
      before + 2,
      "strangers' votes of their own, the victim's untouched",
    );
    const kept = await fetch(`${stack.url}/receipts/${receipt}`, { headers: JSON_TYPE });
    assertEquals((await kept.json()).counted, true);
  });

  it("swapped and guessed receipts: not found", async () => {
    const receipt = String((await vote("option_a")).body.receipt);
    const [position = "", mark = ""] = receipt.split("-");
    const tries = [
      `${Number(position) - 1}-${mark}`,
      `${position}-${"0".repeat(mark.length)}`,
      `${position}-${mark.slice(1)}`,
      `0${position}-${mark}x`,
      `${position}`,
      `-1-${mark}`,
      `999999999999999999-${mark}`,
    ];
    for (const one of tries) {
      const answer = await fetch(`${stack.url}/receipts/${one}`, { headers: JSON_TYPE });
      await answer.body?.cancel();
      assertEquals(answer.status, 404, one);
    }
  });

  it("another author's entry: neither changed nor deleted", async () => {
    const mine = await send("/sign", "POST", { name: "Ada", message: "mine" });
    const cookie = cookieOf(await send("/sign", "POST", { name: "Eve", message: "hers" }));
    const path = `/entries/${mine.body.id}`;
    assertEquals((await send(path, "PUT", { message: "taken" }, { cookie })).status, 403);
    assertEquals((await send(path, "PUT", { message: "taken" })).status, 403);
    assertEquals((await send(path, "DELETE", undefined, { cookie })).status, 403);
    const still = await fetch(stack.url + path, { headers: JSON_TYPE });
    assertEquals((await still.json()).message, "mine");
  });

  it("admin calls without the token, or with a wrong one: 401", async () => {
    const spec = await (await fetch(`${stack.url}/openapi.json`)).json();
    let asked = 0;
    for (
      const [path, methods] of Object.entries<Record<string, { security?: unknown }>>(spec.paths)
    ) {
      for (const [method, { security }] of Object.entries(methods)) {
        if (!security) continue;
        const at = path.replaceAll(/\{\w+\}/g, "1");
        const body = method === "get" ? undefined : {};
        assertEquals((await send(at, method.toUpperCase(), body)).status, 401, `${method} ${at}`);
        asked++;
      }
    }
    assert(asked >= 10, `${asked} admin calls`);
    for (const scheme of ["Basic", "Token", "bearer "]) {
      const { status } = await send("/events", "GET", undefined, {
        authorization: `${scheme} ${stack.secrets.ADMIN_TOKEN}x`,
      });
      assertEquals(status, 401, scheme);
    }
    assertEquals((await send("/events?limit=1", "GET", undefined, admin())).status, 200);
  });

  it("session fixation: a session id the server did not issue is worthless", async () => {
    for (const cookie of ["session=1", "session=", `session=${"a".repeat(43)}`, "session[]=1"]) {
      assertEquals((await send("/events", "GET", undefined, { cookie })).status, 401);
    }
  });

  it("token guessing: refused after ten wrong tokens, while the right one still works", async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 24; i++) {
      const { status } = await send("/events", "GET", undefined, {
        authorization: `Bearer ${"guess".repeat(4)}${i}`,
      });
      statuses.push(status);
    }
    // Each of the two replicas counts by itself.
    assertEquals(new Set(statuses), new Set([401, 429]));
    assert(statuses.filter((status) => status === 401).length <= 20);
    assertEquals((await send("/admin/login", "POST", { token: "guess" })).status, 429);
    for (let i = 0; i < 2; i++) {
      assertEquals((await send("/events?limit=1", "GET", undefined, admin())).status, 200);
      const token = stack.secrets.ADMIN_TOKEN;
      assertEquals((await send("/admin/login", "POST", { token })).status, 200);
    }
  });
});
