// A grammar of requests, mostly well formed, with errors in one or more places.

type Next = () => number;
type Secrets = { ADMIN_TOKEN: string };

function pick<Value>(next: Next, from: readonly Value[]): Value {
  return from[Math.floor(next() * from.length)] as Value;
}

const METHODS = [
  "GET",
  "GET",
  "POST",
  "POST",
  "PUT",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "PATCH",
  "TRACE",
];
const ODD_METHODS = ["get", "G\u0000T", "CONNECT", "PROPFIND", "A".repeat(300), "", "GET GET"];
const PATHS = [
  "/",
  "/sign",
  "/entries",
  "/entries/1",
  "/entries/mine",
  "/users",
  "/users/1",
  "/users/1/history",
  "/items",
  "/items/1",
  "/visits",
  "/polls",
  "/polls/1",
  "/polls/1/votes",
  "/polls/1/mine",
  "/polls/1/results",
  "/polls/1/results.csv",
  "/polls/1/ballots",
  "/polls/1/close",
  "/receipts/1-a",
  "/vote",
  "/results",
  "/health",
  "/metrics",
  "/events",
  "/feed.atom",
  "/openapi.json",
  "/docs",
  "/admin",
  "/admin/login",
  "/admin/logout",
] as const;
const IDS = [
  "0",
  "-1",
  "1e9",
  "2147483648",
  "NaN",
  "%00",
  "1%2f2",
  "%",
  "%zz",
  "\u00e9",
  "..",
  "١",
  " 1",
];
const QUERY = [
  "limit",
  "before",
  "after",
  "asOf",
  "page",
  "thanks",
  "stream",
  "type",
  "_method",
  "__proto__",
];
const VALUES = [
  "0",
  "1",
  "-1",
  "101",
  "1e308",
  "9007199254740993",
  "",
  "null",
  "%",
  "%ff%fe",
  "%00",
  "[]",
  "{}",
  "a".repeat(2000),
  "%F0%9F%92%A9",
  "true",
  "1,2",
  "'",
  "<script>",
  "../..",
];
const TYPES = [
  "application/json",
  "application/json",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "multipart/form-data",
  "text/plain",
  "application/xml",
  "",
  "application/json; charset=utf-16",
  "application/vnd.api+json",
  "*/*",
  "\u00ff",
];
const HEADERS: readonly (readonly [string, readonly string[]])[] = [
  ["Accept", ["text/html", "application/json", "*/*;q=0", "text/event-stream", ",".repeat(500)]],
  ["Accept-Encoding", ["gzip", "br;q=1.0, *;q=0", "identity;q=0"]],
  ["Cookie", [
    "visitor=a.b",
    "visitor=",
    "visitor",
    "session=%00",
    "visitor=a.b; visitor=c.d",
    "=;=;",
    "a".repeat(4000),
    'visitor="x',
    "\u00e9=\u00e9",
    "session=" + "A".repeat(43),
  ]],
  ["Idempotency-Key", ["a", "a".repeat(256), "\t", "key with spaces", "\u00fc", "0".repeat(40)]],
  ["If-Match", ["*", '"1"', 'W/"1"', '"', '"1","2"', '"99999999999999999999"', "x"]],
  ["If-None-Match", ["*", '"x"', 'W/"', ","]],
  ["If-Modified-Since", ["yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"]],
  ["Range", ["bytes=0-0", "bytes=-1", "bytes=9-1", "lines=1"]],
  ["Last-Event-ID", ["1", "-1", "x", "9".repeat(400)]],
  ["Origin", ["null", "http://x", "evil", "http://[::1", ""]],
  ["Sec-Fetch-Site", ["none", "cross-site", "x"]],
  ["Authorization", ["Bearer", "Bearer  ", "Basic eDp4"]],
  ["X-Forwarded-For", ["1.2.3.4", ",,,", "a".repeat(900)]],
  ["X-Forwarded-Proto", ["https", "x"]],
  ["X-Request-Id", ["short", "a".repeat(64), "a\u0001b"]],
  ["Expect", ["100-continue", "x"]],
  ["Upgrade", ["websocket", "h2c"]],
  ["Transfer-Encoding", ["chunked", "gzip, chunked", "identity"]],
  ["Content-Encoding", ["gzip", "br"]],
  ["X-Tallybook-Refresh", ["x"]],
  ["X-Tallybook-Missed", ["html /", "x"]],
];
const FIELDS = [
  "name",
  "message",
  "email",
  "option",
  "question",
  "options",
  "page",
  "token",
  "description",
  "closes_at",
  "_method",
  "__proto__",
  "constructor",
  "toString",
];
const JSON_VALUES: readonly unknown[] = [
  "Ada",
  "",
  " ",
  1,
  -1,
  1e400,
  null,
  true,
  [],
  {},
  ["option_a"],
  ["option_a", "option_b"],
  "option_a",
  "a@b.example",
  "\u0000",
  "\ud800",
  "x".repeat(3000),
  [[[]]],
  { $enc: "AAAA" },
  "2026-01-01T00:00:00Z",
  "\u202e",
  "<b>",
  "'; --",
  "/",
  { toString: 1 },
];
const BROKEN = [
  "{",
  "[]",
  "null",
  '"',
  '{"name":',
  '{"name":"a"}}',
  "\u00ff\u00fe",
  "[".repeat(5000),
  "NaN",
  "name=a&name=b",
  "%",
  '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\r\n--x--',
  "--x",
  "=&=&=",
];

function pathOf(next: Next): string {
  let path: string = pick(next, PATHS);
  if (next() < 0.2) path = path.replace("1", pick(next, IDS));
  if (next() < 0.05) {
    path += pick(next, ["/", "//", "/.", "/..", "%2f", ";a=b", "#x", "\\", "%00", ".json"]);
  }
  if (next() < 0.02) path = `http://evil.example${path}`;
  if (next() < 0.3) path += `?${pick(next, QUERY)}=${pick(next, VALUES)}`;
  if (next() < 0.1) {
    path += `${path.includes("?") ? "&" : "?"}${pick(next, QUERY)}=${pick(next, VALUES)}`;
  }
  return path;
}

function bodyOf(next: Next): string {
  if (next() < 0.2) return pick(next, BROKEN);
  const pairs = Array.from(
    { length: 1 + Math.floor(next() * 4) },
    () => [pick(next, FIELDS), pick(next, JSON_VALUES)] as const,
  );
  if (next() < 0.3) {
    return pairs.map(([name, value]) =>
      `${name}=${encode(typeof value === "string" ? value : JSON.stringify(value))}`
    ).join("&");
  }
  return JSON.stringify(Object.fromEntries([...pairs, ["name", "Ada"], ["message", "hello"]]));
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** One request as bytes, one character each. */
export function mutated(next: Next, { ADMIN_TOKEN }: Secrets): string {
  const method = next() < 0.04 ? pick(next, ODD_METHODS) : pick(next, METHODS);
  const version = next() < 0.02
    ? pick(next, ["HTTP/1.0", "HTTP/9.9", "HTTP", "", "HTTP/2.0"])
    : "HTTP/1.1";
  const lines = [`${method} ${pathOf(next)} ${version}`];
  if (next() > 0.02) lines.push("Host: 127.0.0.1");
  if (next() < 0.25) lines.push(`Authorization: Bearer ${ADMIN_TOKEN}`);
  for (let n = Math.floor(next() * 4); n > 0; n--) {
    const [name, values] = pick(next, HEADERS);
    lines.push(`${name}: ${pick(next, values)}`);
  }
  if (next() < 0.02) {
    lines.push(pick(next, ["no colon", ": empty", "Bad Name: 1", " folded: 1", "A:".repeat(200)]));
  }
  lines.push("Connection: close");
  if (["GET", "HEAD", "OPTIONS"].includes(method) && next() > 0.05) {
    return `${lines.join("\r\n")}\r\n\r\n`;
  }
  const body = bytesOf(bodyOf(next));
  lines.push(`Content-Type: ${pick(next, TYPES)}`);
  const length = next() < 0.03 ? pick(next, ["-1", "x", "0", "99", "1e3"]) : String(body.length);
  lines.push(`Content-Length: ${length}`);
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function bytesOf(text: string): string {
  return [...new TextEncoder().encode(text)].map((byte) => String.fromCharCode(byte)).join("");
}
