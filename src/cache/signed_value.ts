// A value as Redis stores it: generation, position, signature, text. The signature rejects a value
// that somebody else wrote there, or moved there from another key.
import { createHmac } from "node:crypto";
import type { CachedValue } from "./backend.ts";

// A SHA-256 in base64url.
const MARK_LENGTH = 43;
// Larger values are rarely read often, and would fill the memory.
const MAX_RECENT = 500;
const MAX_RECENT_LENGTH = 16_384;

export type Signed = CachedValue & { generation: string };

export class SignedAnswers {
  readonly #secret: string;
  readonly #recent = new Map<string, { value: string; answer: Signed }>();

  constructor(secret: string) {
    this.#secret = secret;
  }

  write(key: string, answer: Signed): string {
    const { generation, position, text } = answer;
    return `${generation} ${position} ${this.#mark(key, answer)} ${text}`;
  }

  /** Returns the same object for the same value, so that results derived from it can be found again. */
  read(key: string, value: string): Signed | undefined {
    const before = this.#recent.get(key);
    if (before?.value === value) return before.answer;
    const answer = this.#checked(key, value);
    if (this.#recent.size >= MAX_RECENT) this.#recent.clear();
    if (answer && value.length <= MAX_RECENT_LENGTH) this.#recent.set(key, { value, answer });
    return answer;
  }

  #checked(key: string, value: string): Signed | undefined {
    const parsed = parse(value);
    const mark = parsed?.text.slice(0, MARK_LENGTH);
    if (!parsed || parsed.text[MARK_LENGTH] !== " ") return undefined;
    const answer = { ...parsed, text: parsed.text.slice(MARK_LENGTH + 1) };
    return mark === this.#mark(key, answer) ? answer : undefined;
  }

  #mark(key: string, { generation, position, text }: Signed): string {
    const whole = `${key}\n${generation}\n${position}\n${text}`;
    return createHmac("sha256", this.#secret).update(whole).digest("base64url");
  }
}

function parse(value: string): Signed | undefined {
  const first = value.indexOf(" ");
  const second = value.indexOf(" ", first + 1);
  const position = Number(value.slice(first + 1, second));
  if (first < 1 || second < 0 || !Number.isSafeInteger(position)) return undefined;
  const text = value.slice(second + 1);
  return { generation: value.slice(0, first), position, text };
}
