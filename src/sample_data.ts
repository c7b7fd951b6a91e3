// Sample data for a new log, through the ordinary commands.
import { createHmac } from "node:crypto";
import { signEntry } from "./commands/guestbook.ts";
import { createItem } from "./commands/items.ts";
import { openPoll } from "./commands/polls.ts";
import { registerUser } from "./commands/users.ts";
import type { Decision } from "./commands/decision.ts";
import type { Sql } from "./connections/postgres.ts";
import { AppError } from "./errors.ts";
import { randomSecret, shared } from "./security/secrets.ts";
import type { Appender } from "./store/appender.ts";
import { nextId } from "./store/ids.ts";
import { readStored } from "./store/read.ts";

const USERS = ["Alice", "Bob", "Carol"];
const ENTRIES = [
  ["Alice", "What a lovely place. I will be back."],
  ["Bob", "Signed on a rainy afternoon, with a cup of tea."],
  ["Carol", "Greetings to everybody who reads this!"],
] as const;
const ITEMS = [
  ["Lantern", "Small, brass, burns for six hours."],
  ["Field guide", "Birds of the northern coast, second edition."],
  ["Rope", "Twenty metres, hardly used."],
] as const;
const OPTIONS = ["Spring", "Summer", "Autumn", "Winter"];

const meta = { actor: "system" } as const;

/** The default poll of a log that has no events yet. Never called by migrate, import or restore. */
export async function openDefaultPoll(sql: Sql, appender: Appender): Promise<boolean> {
  if ((await readStored(sql, { limit: 1 })).length > 0) return false;
  const options = [{ id: "option_a", text: "Option A" }, { id: "option_b", text: "Option B" }];
  const decision = openPoll(1, {
    question: "Which do you prefer?",
    options,
    choice: "single",
    results: "always",
    closesAt: null,
  }, new Date());
  try {
    await appender.append({ ...decision, meta });
  } catch (error) {
    // Another replica opened it first.
    if (error instanceof AppError && error.detail.actual !== undefined) return false;
    throw error;
  }
  await sql`select setval('poll_ids', 1)`;
  return true;
}

export async function addSample(sql: Sql, appender: Appender): Promise<void> {
  const known = await readStored(sql, { types: ["UserRegistered", "EntrySigned"], limit: 1 });
  if (known.length > 0) throw new AppError("conflict", "sample data is for a new log only");
  const add = (decision: Decision) => appender.append({ ...decision, meta });
  const emailKey = await shared(sql, "email_key", randomSecret);
  for (const name of USERS) {
    const email = `${name.toLowerCase()}@example.com`;
    const stream = `email-${createHmac("sha256", emailKey).update(email).digest("hex")}`;
    const id = await nextId(sql, "user");
    await add(registerUser({ id, name, email }, { stream, version: 0, holder: null }));
  }
  for (const [name, message] of ENTRIES) {
    const id = await nextId(sql, "entry");
    await add(signEntry({ id, name, message, author: null, held: false }));
  }
  for (const [name, description] of ITEMS) {
    await add(createItem({ id: await nextId(sql, "item"), name, description }));
  }
  await add(openPoll(await nextId(sql, "poll"), {
    question: "Which season do you like best?",
    options: OPTIONS.map((text, i) => ({ id: String(i + 1), text })),
    choice: "single",
    results: "always",
    closesAt: null,
  }, new Date()));
}
