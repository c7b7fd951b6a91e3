// The pieces that pages are made of.
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

// Short, so that a line does not break because of it: "2 hours ago" is to take its place.
const BRIEF = new Intl.DateTimeFormat("en-GB", {
  dateStyle: "medium",
  timeStyle: "short",
  timeZone: "UTC",
});

/** In UTC, for everybody the same; the script puts it in the reader's own words and zone. */
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

/** Before anything was asked for there is no rate, and none that is bad. */
export function hitRate({ hits, misses, rate }: Rate): string {
  return hits + misses === 0 ? "–" : percent(rate);
}

/** An address in a text becomes a link that passes nothing on. */
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

/** A schema's own words are for programs. */
export function sentence({ field, message }: { field: string; message: string }): string {
  const place = field.split(".")[0] ?? field;
  const label = LABELS[place] ?? place;
  return `${label} ${/^Invalid|^Too small/.test(message) ? "is missing or not right" : message}`;
}

/** Where nothing that was typed is wrong: said in our words, not in those for programs. */
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

/** Whether what the form was to change is not there any more: all it can do then is to add anew. */
export function isGone(refused: RejectedForm): boolean {
  return refused.problem.status === 404;
}

/** Above a form that was refused: what to mend, with links to the fields. */
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
  /** Lines of a text area; one line without. */
  rows?: number;
  type?: string;
  required?: boolean;
  autocomplete?: string;
  /** Characters; the script counts down to it, the server refuses beyond it. */
  max?: number;
  refused?: RejectedForm;
  /** Where several forms of a page have the same fields. */
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
  /** What it was filled from: refused if there is another version by now. */
  version?: number | string;
  /** The element that takes in what the answer says, so that the page stays. */
  slot?: string;
  children?: Child;
};

/** A real form: a browser posts it, the script sends it in place. */
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

/** In place of a list that was read to its end: not the same as one in which nothing is. */
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

/** Beside what was typed: what somebody else made of it meanwhile. */
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
