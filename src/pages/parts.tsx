// Components that several pages use.
import type { Child } from "hono/jsx";
import type { RejectedForm } from "../http/context.ts";
import type { Problem } from "../http/problem.ts";
import type { Rate } from "../schemas/cache.ts";

export type { RejectedForm };

const MOMENT = new Intl.DateTimeFormat("en-GB", {
  dateStyle: "long",
  timeStyle: "short",
  timeZone: "UTC",
});

// Short, because the script replaces it with "2 hours ago" and the line must not wrap differently.
const BRIEF = new Intl.DateTimeFormat("en-GB", {
  dateStyle: "medium",
  timeStyle: "short",
  timeZone: "UTC",
});

/** In UTC, the same for every reader; the script converts it to the reader's language and zone. */
export function Time({ at, as = "ago" }: { at: string | Date; as?: "ago" | "moment" }) {
  const date = new Date(at);
  const text = (as === "ago" ? BRIEF : MOMENT).format(date);
  return <time datetime={date.toISOString()} data-as={as}>{`${text} UTC`}</time>;
}

const COUNT = new Intl.NumberFormat("en-GB");

export function number(value: number): string {
  return COUNT.format(value);
}

export function word(value: number, one: string, many = `${one}s`): string {
  return value === 1 ? one : many;
}

export function counted(value: number, one: string, many?: string): string {
  return `${number(value)} ${word(value, one, many)}`;
}

export function percent(rate: number): string {
  return `${Math.round(rate * 100)} %`;
}

/** Without lookups there is no rate, and 0 % would look like a bad one. */
export function hitRate({ hits, misses, rate }: Rate): string {
  return hits + misses === 0 ? "–" : percent(rate);
}

/** Turns a URL in a text into a link that search engines do not count. */
export function Text({ text }: { text: string }) {
  return (
    <div class="text" dir="auto">
      {text.split(/(https?:\/\/[^\s<>"']+)/).map((part, i) => i % 2 === 0 ? part : linked(part))}
    </div>
  );
}

function linked(address: string) {
  const [, href = address, rest = ""] = address.match(/^(.*?)([.,;:!?)\]}]*)$/s) ?? [];
  if (!URL.canParse(href)) return address;
  return (
    <>
      <a href={href} rel="ugc nofollow noopener">{href}</a>
      {rest}
    </>
  );
}

const LABELS: Record<string, string> = {
  name: "Name",
  message: "Message",
  email: "E-mail address",
  description: "Description",
  option: "Your choice",
  question: "Question",
  options: "Options",
  closes_at: "Closing time",
  token: "Admin token",
};

/** A field error as a sentence; replaces zod's own messages, which are written for programs. */
export function sentence({ field, message }: { field: string; message: string }): string {
  const place = field.split(".")[0] ?? field;
  const label = LABELS[place] ?? place;
  return `${label} ${/^Invalid|^Too small/.test(message) ? "is missing or not right" : message}`;
}

/** Messages for errors that the typed values did not cause. */
const KEPT: Record<number, Pick<Problem, "title" | "detail" | "errors">> = {
  404: {
    title: "Taken away meanwhile",
    detail: "What you were changing is not here any more: somebody took it away while you were " +
      "writing. What you typed is still here, and this form adds it as something new.",
  },
  412: {
    title: "Changed meanwhile",
    detail: "Somebody changed this while you were writing, and nothing was overwritten. What you " +
      "typed is still here: save it again to put it in the place of what is there now.",
  },
  503: {
    title: "We cannot do that just now",
    detail:
      "Something behind this page does not answer. What you typed is still here: please try " +
      "again in a moment.",
  },
};

/** Whether the record that the form changes was deleted; the form then creates a new one. */
export function isGone(refused: RejectedForm): boolean {
  return refused.problem.status === 404;
}

/** Lists the errors above a rejected form, with links to the fields. */
export function Summary({ refused }: { refused: RejectedForm | undefined }) {
  if (!refused) return "";
  const { title, detail, errors = [] } = KEPT[refused.problem.status] ?? refused.problem;
  return (
    <div class="alert" role="alert" tabindex={-1} data-focus="">
      <h2>{title}</h2>
      {errors.length === 0 ? <p>{detail ?? ""}</p> : (
        <ul>
          {errors.map((error) => (
            <li>
              <a href={`#${error.field.split(".")[0]}`}>{sentence(error)}</a>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export type FieldFrame = {
  name: string;
  label: string;
  value?: string;
  hint?: string;
  /** Lines of a text area; an input of one line if not given. */
  rows?: number;
  type?: string;
  required?: boolean;
  autocomplete?: string;
  /** The limit in characters; the script counts down to it, the server enforces it. */
  max?: number;
  refused?: RejectedForm;
  /** Makes ids unique where several forms of a page have the same fields. */
  prefix?: string;
};

export function Field(frame: FieldFrame) {
  const { name, label, hint, rows, max, refused, prefix = "", required = true } = frame;
  const id = `${prefix}${name}`;
  const wrong = refused?.problem.errors?.filter(({ field }) => field.split(".")[0] === name) ?? [];
  const said = hint ?? (max === undefined ? undefined : `Up to ${number(max)} characters`);
  const described = [said ? `${id}-hint` : "", wrong.length > 0 ? `${id}-wrong` : ""].join(" ");
  const shared = {
    id,
    name,
    required,
    dir: "auto" as const,
    autocomplete: frame.autocomplete,
    "aria-describedby": described.trim() || undefined,
    "aria-invalid": wrong.length > 0 ? "true" as const : undefined,
  };
  const value = refused?.values[name] ?? frame.value ?? "";
  return (
    <div class={wrong.length > 0 ? "field wrong" : "field"}>
      <label for={id}>{required ? label : `${label} (optional)`}</label>
      {wrong.length > 0
        ? <p class="why" id={`${id}-wrong`}>{wrong.map(sentence).join("; ")}</p>
        : ""}
      {rows === undefined
        ? <input {...shared} type={frame.type ?? "text"} value={value} />
        : <textarea {...shared} rows={rows}>{`\n${value}`}</textarea>}
      {said ? <p class="hint" id={`${id}-hint`} data-max={max}>{said}</p> : ""}
    </div>
  );
}

type FormFrame = {
  action: string;
  method?: "PUT" | "DELETE";
  button: string;
  tone?: "main" | "quiet" | "danger";
  label?: string;
  /** The version that the form was filled from; the write is refused if there is another one now. */
  version?: number | string;
  /** The id of the element in which the script shows the answer, instead of leaving the page. */
  slot?: string;
  children?: Child;
};

/** A form that works without script; with script it is sent in place. */
export function Form(frame: FormFrame) {
  const { action, method, button, tone = "main", label, slot, version, children } = frame;
  return (
    <form method="post" action={action} data-slot={slot} aria-label={label}>
      {method ? <input type="hidden" name="_method" value={method} /> : ""}
      {version === undefined ? "" : <input type="hidden" name="_match" value={String(version)} />}
      {children}
      <button type="submit" class={tone}>{button}</button>
    </form>
  );
}

export function Pager({ href, text }: { href: string | undefined; text: string }) {
  if (href === undefined) return "";
  return (
    <nav class="pager" aria-label="Pages">
      <a href={href} rel="next">{text}</a>
    </nav>
  );
}

export function Empty({ title, children }: { title: string; children?: Child }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** Shown after the end of a paged list, as opposed to an empty list. */
export function PastEnd({ href, text }: { href: string; text: string }) {
  return (
    <Empty title="This is the end">
      <p>There is nothing beyond it.</p>
      <p>
        <a href={href}>{text}</a>
      </p>
    </Empty>
  );
}

/** After a 412: the current record, beside the typed values. */
export function Meanwhile({ facts }: { facts: Record<string, string> | undefined }) {
  if (!facts) return "";
  return (
    <section class="panel" aria-labelledby="meanwhile">
      <h2 id="meanwhile">What is there now</h2>
      <dl class="facts">
        {Object.entries(facts).map(([name, value]) => (
          <div>
            <dt>{name}</dt>
            <dd class="text" dir="auto">{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
