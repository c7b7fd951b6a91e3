// A thousand open pages on one poll while votes come in. Plain clients, as the service is measured and not
// a browser.
import { assert, assertEquals } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import type { Stack } from "$src/cli/stack/mod.ts";
import { waitFor } from "../support/until.ts";
import { openStack, post } from "./browser.ts";

const LISTENERS = 1000;
const VOTES_PER_SECOND = 200;
const SECONDS = 5;
const MOST_MEGABYTES = 200;

let stack: Stack;

before(async () => {
  stack = await openStack();
});

after(async () => {
  await stack?.[Symbol.asyncDispose]();
});

type Heard = { ids: number[]; times: number[]; votes: number };

/** Parses only the id and the number of votes: a thousand clients share this process with the test. */
async function listen(address: string, signal: AbortSignal, heard: Heard): Promise<void> {
  const answer = await fetch(address, { signal });
  assertEquals(answer.status, 200);
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of answer.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      note(text.slice(0, end), heard);
      text = text.slice(end + 2);
    }
  }
}

function note(message: string, heard: Heard): void {
  const id = Number(message.match(/^id: (\d+)$/m)?.[1] ?? NaN);
  if (Number.isNaN(id)) return;
  heard.ids.push(id);
  heard.times.push(performance.now());
  heard.votes = Number(message.match(/"votes":(\d+),"options"/)?.[1] ?? -1);
}

type Vote = { position: number; sent: number };

async function voteSteadily(path: string): Promise<Vote[]> {
  const votes: Promise<Vote>[] = [];
  const began = performance.now();
  for (let i = 0; i < VOTES_PER_SECOND * SECONDS; i++) {
    const due = began + i * 1000 / VOTES_PER_SECOND;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    votes.push(voteOnce(path, i % 2 === 0 ? "Tea" : "Coffee"));
  }
  return await Promise.all(votes);
}

async function voteOnce(path: string, option: string): Promise<Vote> {
  const sent = performance.now();
  const { status, json } = await post(stack.url, path, { option });
  assertEquals(status, 201);
  return { position: Number(json.position), sent };
}

/** For each vote and subscriber, the time until a message at or after the vote's position. */
function delays(votes: Vote[], all: Heard[]): Float64Array {
  const sorted = votes.toSorted((a, b) => a.position - b.position);
  const found: number[] = [];
  for (const { ids, times } of all) {
    let at = 0;
    for (const { position, sent } of sorted) {
      while (at < ids.length && (ids[at] ?? 0) < position) at++;
      found.push((times[at] ?? Infinity) - sent);
    }
  }
  return Float64Array.from(found).sort();
}

async function megabytes(pid: number | undefined): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(status.match(/^VmRSS:\s+(\d+) kB/m)?.[1] ?? Infinity) / 1024;
}

describe(`${LISTENERS} subscribers to one poll`, () => {
  it(`end at the right number after ${VOTES_PER_SECOND} votes/s, and see no number decrease`, async () => {
    const poll = { question: "Tea or coffee?", options: ["Tea", "Coffee"] };
    const { json } = await post(stack.url, "/polls", poll, { token: stack.secrets.ADMIN_TOKEN });
    const path = `/polls/${json.id}`;
    const over = new AbortController();
    const all = Array.from({ length: LISTENERS }, (): Heard => ({ ids: [], times: [], votes: -1 }));
    const lost: string[] = [];
    for (const heard of all) {
      listen(`${stack.url}${path}/live`, over.signal, heard)
        .then(() => lost.push("ended"))
        .catch((error) => over.signal.aborted || lost.push(String(error)));
    }
    using _ending = { [Symbol.dispose]: () => over.abort() };
    await waitFor(() => all.every(({ votes }) => votes === 0), 60_000, "everybody to listen");
    const began = performance.now();
    const votes = await voteSteadily(`${path}/votes`);
    const took = performance.now() - began;
    await waitFor(
      () => all.every((heard) => heard.votes === votes.length),
      30_000,
      "the last number",
    );
    const memory = await Promise.all(stack.apps.map(({ pid }) => megabytes(pid)));
    assertEquals(lost, []);
    for (const { ids } of all) assert(ids.every((id, i) => i === 0 || id > (ids[i - 1] ?? 0)));
    const sorted = delays(votes, all);
    const ms = (part: number) => Math.round(sorted[Math.floor(sorted.length * part)] ?? Infinity);
    const rate = Math.round(votes.length / took * 1000);
    say(
      `${LISTENERS} listeners, ${rate} votes/s: vote to listener median ${ms(0.5)} ms, p99 ${
        ms(0.99)
      } ms; memory ${memory.map((one) => `${Math.round(one)} MB`).join(" and ")}`,
    );
    assert(memory.every((one) => one < MOST_MEGABYTES), `memory ${memory}`);
  });
});

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
