// Each guard, the exact text that is its work, what stands there without it, and who should notice.

export type Mutant = {
  name: string;
  file: string;
  guard: string;
  without: string;
  /** Words of the test files that should turn red. */
  tests: string[];
};

export const mutants: Mutant[] = [
  {
    name: "the counter's lock",
    file: "src/store/statements.ts",
    guard: "    from counter for update`",
    without: "    from counter`",
    tests: ["store/append", "faults/torture"],
  },
  {
    name: "the guard on the poll",
    file: "src/commands/polls.ts",
    guard: "const guards = [{ stream: pollStream(poll.id), version: poll.version }];",
    without:
      "const guards = poll.version < 0 ? [{ stream: pollStream(poll.id), version: 0 }] : [];",
    tests: ["commands/polls"],
  },
  {
    name: "the generation of the lease",
    file: "src/cache/redis.ts",
    guard: "answer?.generation !== lease",
    without: "answer === undefined",
    tests: ["cache/generation"],
  },
  {
    name: "the look after a claim",
    file: "src/cache/redis.ts",
    guard: "return { mine: taken !== null, kept };",
    without: "return { mine: taken !== null, kept: { stamp } };",
    tests: ["cache/loader"],
  },
  {
    name: "the look of who comes later",
    file: "src/cache.ts",
    guard: "if (!look.sent) return look.kept;",
    without: "if (look.sent || !look.sent) return look.kept;",
    tests: ["cache/look"],
  },
  {
    name: "the care for views that Redis took late",
    file: "src/visits.ts",
    guard: "if (!isUnanswered(error)) add(this.#counted, page, by);",
    without: "if (isUnanswered(error) || !isUnanswered(error)) add(this.#counted, page, by);",
    tests: ["cache/link"],
  },
  {
    name: "the tag check",
    file: "src/cache/redis.ts",
    guard: "Number(position ?? 0) > answer.position",
    without: "Number(position ?? 0) > Infinity + answer.position",
    tests: ["cache/redis", "cache/race"],
  },
  {
    name: "the signature on cached answers",
    file: "src/cache/signed.ts",
    guard: "mark === this.#mark(key, answer) ? answer : undefined",
    without: "mark !== this.#secret ? answer : undefined",
    tests: ["attacks/rubbish"],
  },
  {
    name: "the origin check",
    file: "src/http/guards.ts",
    guard: '  throw new AppError("forbidden", "a page of another site may not write here");',
    without: "  return;",
    tests: ["attacks/identity"],
  },
  {
    name: "the token check",
    file: "src/http/guards.ts",
    guard: 'if (sameDigest(token, await c.get("services").adminDigest())) return true;',
    without: 'if (!sameDigest(token, "0".repeat(64))) return true;',
    tests: ["attacks/identity"],
  },
  {
    name: "the limit on guesses",
    file: "src/http/guards.ts",
    guard: "  limits.noteGuess(client);\n",
    without: "",
    tests: ["attacks/identity"],
  },
  {
    name: "the cookie's signature",
    file: "src/http/visitor.ts",
    guard: "given.length === expected.length && timingSafeEqual(given, expected)",
    without: "given.length >= 0 || timingSafeEqual(given, expected)",
    tests: ["attacks/identity"],
  },
  {
    name: "the idempotency scope",
    file: "src/write.ts",
    guard: "${hidden(`caller ${c.req.path} ${callerOf(c, key)}`)}",
    without: "${hidden(callerOf(c, key)).slice(99)}",
    tests: ["routes/http", "routes/polls", "routes/guestbook"],
  },
  {
    name: "the email claim",
    file: "src/commands/users.ts",
    guard: "claim.holder !== null && claim.holder !== user",
    without: "claim.holder !== null && claim.holder === -user",
    tests: ["commands/users"],
  },
  {
    name: "the seal's previous",
    file: "src/store/seal.ts",
    guard: "`${previous}\\n${head}",
    without: "`${previous.slice(64)}\\n${head}",
    tests: ["store/verify"],
  },
  {
    name: "the append-only trigger",
    file: "migrations/0001_events.sql",
    guard:
      "create trigger append_only before update or delete or truncate on events\n  for each statement execute function refuse_change();",
    without:
      "create trigger append_only before insert on events\n  for each row when (false) execute function refuse_change();",
    tests: ["store/append", "store/grants"],
  },
  {
    name: "the If-Match check",
    file: "src/commands/decision.ts",
    guard: '  throw new AppError("stale",',
    without: '  if (version < 0) throw new AppError("stale",',
    tests: ["commands/users", "commands/items"],
  },
  {
    name: "the deadline of a poll",
    file: "src/store/batch.ts",
    guard: "if (before && head.at >= before)",
    without: "if (before && head.at.getTime() < 0)",
    tests: ["store/append"],
  },
  {
    name: "the visibility wait",
    file: "src/write.ts",
    guard: "await follower.wait(written.position, config.VISIBLE_WAIT_MS)",
    without: "follower.visible >= 0 || config.VISIBLE_WAIT_MS < 0",
    tests: ["freshness"],
  },
  {
    name: "the deletion of keys",
    file: "src/store/statements.ts",
    guard: "deleteKeys(tx, taken.erase)",
    without: "deleteKeys(tx, taken.erase.slice(0, 0))",
    tests: ["cli/backup"],
  },
  {
    name: "the seal on a backup's keys",
    file: "src/backup.ts",
    guard: "  if (whole) return keys;",
    without: "  if (whole || keys !== text) return keys;",
    tests: ["cli/backup"],
  },
  {
    name: "the end of a silent follower",
    file: "src/hold.ts",
    guard: "if (!silent || !again) return;",
    without: "if (!silent || again || !again) return;",
    tests: ["faults/frozen"],
  },
  {
    name: "the end of who waits for the follower's lock and is gone",
    file: "src/hold.ts",
    guard: "'client_connection_check_interval', ${String(BEAT_MS)}",
    without: "'client_connection_check_interval', ${String(0 * BEAT_MS)}",
    tests: ["tests/follower"],
  },
  {
    name: "the follower's look for what others wrote",
    file: "src/follower.ts",
    guard: "if (pushed && wakeups.told <= last) await waking;",
    without: "if (pushed) await waking;",
    tests: ["tests/follower"],
  },
  {
    name: "the word of what changes all the time",
    file: "src/refresh.ts",
    guard:
      "const due = copies.filter((copy) => (this.#written.get(copy) ?? 0) < now + OUTSTANDING_MS);",
    without: "const due = copies.filter((copy) => !this.#written.has(copy));",
    tests: ["cache/network"],
  },
  {
    name: "the emptied slots of a bag",
    file: "src/bag.ts",
    guard: "slot.item = undefined;",
    without: "",
    tests: ["tests/bag"],
  },
  {
    name: "the care for lost connections",
    file: "src/database.ts",
    guard: "if (!isGone(error) && !session?.closed) throw error;",
    without: "if (isGone(error) || !isGone(error)) throw error;",
    tests: ["cli/lost"],
  },
  {
    name: "the end of a body that never comes",
    file: "src/http/body.ts",
    guard: "const BODY_MS = 8000;",
    without: "const BODY_MS = 60_000;",
    tests: ["attacks/fuzz"],
  },
  {
    name: "the constant time of the token check",
    file: "src/secrets.ts",
    guard: "return timingSafeEqual(Buffer.from(digest(secret)), Buffer.from(expected));",
    without: "return timingSafeEqual.length >= 0 && digest(secret) === expected;",
    tests: ["attacks/token"],
  },
  {
    name: "the refusal of keys that do not fit",
    file: "src/store/personal.ts",
    guard:
      "if (key.length !== KEY_BYTES || sealed.length < IV_BYTES + TAG_BYTES) return undefined;",
    without: "if (sealed.length < IV_BYTES + TAG_BYTES) return undefined;",
    tests: ["store/unreadable"],
  },
  {
    name: "the follower's way past what it cannot read",
    file: "src/store/read.ts",
    guard: "if (!(error instanceof AppError)) throw error;\n      log.warn",
    without: "if (error !== undefined) throw error;\n      log.warn",
    tests: ["attacks/poison"],
  },
  {
    name: "the seal on imported lines",
    file: "src/store/transfer.ts",
    guard: "if (seal !== row.seal) throw",
    without: "if (seal === undefined) throw",
    tests: ["store/mangled", "store/transfer"],
  },
  {
    name: "the log's place before a savepoint",
    file: "src/store/batch.ts",
    guard: "await Promise.all(apart ? [inLog(), inRows()] : [inRows(), inLog()]);",
    without: "await Promise.all([inRows(), inLog()]);",
    tests: ["projections/rebuild"],
  },
  {
    name: "the way past fields of a later version",
    file: "events/mod.ts",
    guard: "if (unknown.length === 0) return result;",
    without: "if (unknown.length >= 0) return result;",
    tests: ["routes/rolling"],
  },
  {
    name: "the look at an earlier backup's keys",
    file: "src/backup.ts",
    guard: "if (lost.length === 0) return;",
    without: "if (lost.length >= 0) return;",
    tests: ["cli/backup_keys"],
  },
  {
    name: "the highest total that was shown",
    file: "src/visits.ts",
    guard: "const least = Math.max(written, shown);",
    without: "const least = Math.max(written, shown * 0);",
    tests: ["routes/visits"],
  },
  {
    name: "the one transaction of an import",
    file: "src/store/transfer.ts",
    guard: "return await inTransaction(sql, async (tx) => {",
    without:
      "return await ((_: unknown, work: (tx: Tx) => Promise<Imported>) => work(sql as unknown as Tx))(inTransaction, async (tx) => {",
    tests: ["store/mangled"],
  },
  {
    name: "the look at what is set straight from the log",
    file: "projections/votes.ts",
    guard: "and stream = 'ballot-' || (data->>'poll') || '-' || (data->>'voter')",
    without: "and stream <> ''",
    tests: ["projections/straight"],
  },
  {
    name: "the handlers' turn on a page that does not go straight",
    file: "src/rebuild.ts",
    guard: "if (!straightOf(projection) || !isPoison(error)) throw error;",
    without: "if (!straightOf(projection) || isPoison(error) || error) throw error;",
    tests: ["projections/straight"],
  },
  {
    name: "the leaving out of what was set straight",
    file: "src/rebuild.ts",
    guard: "const later = straight?.opening ? straight.type : undefined;",
    without: "const later = straight && limit < 0 ? straight.type : undefined;",
    tests: ["projections/property", "projections/straight"],
  },
];
