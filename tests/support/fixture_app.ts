// The smallest app that a stack can run. Each response carries a new number, so that a test can recognise
// a cached one. Nginx caches it for as long as its path says, `/life-1`, or for four seconds.
const port = Number(Deno.env.get("PORT"));
let count = 0;

function answer(request: Request): Response {
  const { pathname } = new URL(request.url);
  if (pathname === "/health/ready") return new Response("ready");
  if (pathname === "/env") return Response.json(Deno.env.toObject());
  const accept = request.headers.get("accept") ?? "";
  if (pathname.endsWith("/live")) return live();
  if (pathname === "/die") Deno.exit(1);
  const seen = { port, pathname, count: ++count, method: request.method, accept };
  const filler = pathname === "/large" ? "x".repeat(5000) : "";
  const type = accept.startsWith("text/html") ? "text/html" : "application/json";
  const headers = new Headers({ "content-type": type, etag: `"${pathname}"` });
  const sent = Object.fromEntries(request.headers);
  const load = Number(sent["x-tallybook-load"]);
  const life = /life-(\d+)/.exec(pathname)?.[1] ?? "4";
  if (load > 0) headers.set("x-accel-expires", `@${Math.floor(load) + Number(life)}`);
  return new Response(JSON.stringify({ ...seen, filler, sent }), { headers });
}

/** One event at once, then silence. */
function live(): Response {
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode("data: first\n\n")),
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

Deno.serve({ port, hostname: "127.0.0.1", onListen: () => {} }, answer);
