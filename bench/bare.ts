// The limit for what goes over HTTP: Hono that parses and answers the same bytes, and does nothing else.
import { Hono } from "hono";

const [port, votePath = "", pagePath = ""] = Deno.args;
const vote = JSON.parse(await Deno.readTextFile(votePath));
const page = await Deno.readTextFile(pagePath);
const headers = { "content-type": "application/json" };

const app = new Hono();
app.get("/live", (c) => c.text("ok"));
app.get("/page", (c) => c.body(page, 200, headers));
app.post("/vote", async (c) => {
  const { option } = await c.req.json();
  return option === undefined ? c.text("no option", 422) : c.json(vote, 201);
});

Deno.serve({ port: Number(port), hostname: "127.0.0.1", onListen() {} }, app.fetch);
