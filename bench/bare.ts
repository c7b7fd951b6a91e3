// The baseline of figures over HTTP: Hono parses, inserts a vote if it is given a database, and answers the
// same bytes as the service.
import { Hono } from "hono";

const [port, votePath = "", pagePath = "", databaseUrl] = Deno.args;
const vote = JSON.parse(await Deno.readTextFile(votePath));
const page = await Deno.readTextFile(pagePath);
const headers = { "content-type": "application/json" };
// Imported only if needed, because bench start measures the start of the handler alone.
const insert = databaseUrl && await (await import("./bare_votes.ts")).openVotes(databaseUrl);

const app = new Hono();
app.get("/live", (c) => c.text("ok"));
app.get("/page", (c) => c.body(page, 200, headers));
app.post("/vote", async (c) => {
  const { option } = await c.req.json();
  if (option === undefined) return c.text("no option", 422);
  if (insert) await insert(option);
  return c.json(vote, 201);
});

Deno.serve({ port: Number(port), hostname: "127.0.0.1", onListen() {} }, app.fetch);
