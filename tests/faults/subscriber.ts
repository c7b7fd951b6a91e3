// One subscriber for the torture test: prints the position, stream, version and tag of each event.
import { connect } from "$src/connections/postgres.ts";
import { AppendSignal, subscribe } from "$src/store/subscribe.ts";

const [url = "", after = "0"] = Deno.args;
const stop = new AbortController();
Deno.addSignalListener("SIGTERM", () => stop.abort());

await using own = new AsyncDisposableStack();
const sql = own.adopt(connect(url, { max: 2 }), (opened) => opened.end({ timeout: 2 }));
await using wakeups = new AppendSignal();
await wakeups.listen(sql);
const options = { after: Number(after), limit: 200, signal: stop.signal };
for await (const events of subscribe(sql, wakeups, options)) {
  const lines = events.map(({ position, stream, version, data }) =>
    `${position} ${stream} ${version} ${"page" in data ? data.page : ""} ${
      "count" in data ? data.count : ""
    }\n`
  );
  Deno.stdout.writeSync(new TextEncoder().encode(lines.join("")));
}
