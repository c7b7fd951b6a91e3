// Progressive enhancement: every page works without this script, and each part stops if the page has
// nothing for it.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Timers and streams of the current page, stopped when another page replaces it. */
let closers = [];

function start() {
  closers.forEach((close) => close());
  closers = [];
  enhance(document);
  $$("[data-entries]").forEach(followEntries);
  $$("[data-poll]").forEach(followPoll);
  $$("[data-grows]").forEach(followLog);
  $$("[data-refresh]").forEach(refreshOften);
}

function enhance(root) {
  $$("time[data-as]", root).forEach(tellTime);
  $$("[data-max]", root).forEach(countDown);
}

function say(text) {
  const status = $("#status");
  if (status) status.textContent = text;
}

/* ---- times in the reader's language ---- */

const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "short" });
const ZONED = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "long",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
  timeZoneName: "short",
});

function tellTime(time) {
  const at = new Date(time.dateTime);
  if (time.dataset.as === "moment") {
    time.textContent = ZONED.format(at);
    return;
  }
  const seconds = (at - Date.now()) / 1000;
  const [unit, length] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  const far = unit === "day" && seconds < -30 * 86400;
  if (far) time.textContent = EXACT.format(at);
  else if (unit === "second") time.textContent = "just now";
  else time.textContent = AGO.format(Math.trunc(seconds / length), unit);
  time.title = EXACT.format(at);
}

setInterval(() => $$('time[data-as="ago"]').forEach(tellTime), 30_000);

/* ---- character counters ---- */

function countDown(hint) {
  const field = document.getElementById(hint.id.replace(/-hint$/, ""));
  if (!field) return;
  const max = Number(hint.dataset.max);
  const tell = () => {
    const left = max - [...field.value].length;
    hint.textContent = left < 0
      ? `${(-left).toLocaleString("en")} characters too many`
      : `${left.toLocaleString("en")} characters left`;
    hint.classList.toggle("why", left < 0);
    if (left < 50) hint.setAttribute("aria-live", "polite");
    else hint.removeAttribute("aria-live");
  };
  field.addEventListener("input", tell);
  field.form?.addEventListener("reset", () => setTimeout(tell));
  tell();
}

/* ---- forms, sent in place ---- */

const SEND_MS = 15_000;
/** For each form the last body sent and its Idempotency-Key, so that sending it again counts once. */
const sent = new WeakMap();

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  send(form, event.submitter);
});

async function send(form, button) {
  if (form.getAttribute("aria-busy") === "true") return;
  const body = new URLSearchParams(new FormData(form)).toString();
  if (sent.get(form)?.body !== body) sent.set(form, { body, key: crypto.randomUUID() });
  busy(form, button, true);
  try {
    const response = await fetch(form.getAttribute("action"), {
      method: "POST",
      headers: {
        "Accept": "text/html",
        "Content-Type": "application/x-www-form-urlencoded",
        "Idempotency-Key": sent.get(form).key,
      },
      body,
      signal: AbortSignal.timeout(SEND_MS),
    });
    if (response.status === 429 || response.status >= 500) return later(form, response);
    const text = await response.text();
    sent.delete(form);
    await arrived(form, response, text);
  } catch {
    alarm(form, "No connection", "Nothing is lost: what you typed is still here. Try again.");
  } finally {
    busy(form, button, false);
  }
}

function busy(form, button, on) {
  if (on) form.setAttribute("aria-busy", "true");
  else form.removeAttribute("aria-busy");
  if (on) button?.setAttribute("aria-disabled", "true");
  else button?.removeAttribute("aria-disabled");
}

function later(form, response) {
  const seconds = Number(response.headers.get("retry-after") ?? 0);
  const when = seconds > 0 ? `in ${seconds} second${seconds === 1 ? "" : "s"}` : "in a moment";
  const title = response.status === 429 ? "A little too fast" : "Not possible just now";
  alarm(form, title, `Nothing is lost: what you typed is still here. Try again ${when}.`);
}

function alarm(form, title, text) {
  $(".alert[data-mine]", form)?.remove();
  const box = document.createElement("div");
  box.className = "alert";
  box.dataset.mine = "";
  box.setAttribute("role", "alert");
  const strong = document.createElement("b");
  strong.textContent = title;
  const line = document.createElement("p");
  line.textContent = text;
  box.append(strong, line);
  form.lastElementChild.before(box);
}

async function arrived(form, response, text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const slot = document.getElementById(form.dataset.slot ?? "");
  if (response.ok && slot) {
    await intoSlot(form, slot, page);
    return;
  }
  if (response.ok) history.pushState(null, "", response.url);
  showPage(page);
}

/** Stays on the page: shows the confirmation and reloads the parts that changed. */
async function intoSlot(form, slot, page) {
  $(".alert[data-mine]", form)?.remove();
  const thanks = document.createElement("p");
  thanks.className = "done";
  thanks.tabIndex = -1;
  thanks.textContent = $("h1", page)?.textContent ?? "";
  slot.replaceChildren(thanks, ...($("[data-answer]", page)?.children ?? []));
  enhance(slot);
  form.reset();
  thanks.focus();
  await renew(["newest", "figures"]).catch(() => {});
}

function showPage(page) {
  const main = $("main", page);
  if (!main) return location.reload();
  $("main").replaceWith(document.adoptNode(main));
  document.title = page.title;
  start();
  const place = $("[data-focus]") ?? $("h1");
  place?.setAttribute("tabindex", "-1");
  place?.focus();
  if (!$("[data-focus]")) scrollTo(0, 0);
}

addEventListener("popstate", () => {
  if (!location.hash) location.reload();
});

/** Fetches this page again and replaces the given parts. */
async function renew(ids) {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(`renewing: ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of ids) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!old || !fresh || Number(fresh.dataset.position) < Number(old.dataset.position)) continue;
    copyData(fresh, old);
    old.replaceChildren(...fresh.childNodes);
    enhance(old);
    old.dispatchEvent(new Event("renewed"));
  }
}

function copyData(from, to) {
  for (const name of Object.keys(to.dataset)) if (!(name in from.dataset)) delete to.dataset[name];
  Object.assign(to.dataset, { ...from.dataset });
}

/* ---- live updates ---- */

/**
 * Follows an event stream while the page is visible. Positions only grow: ignores a message that is not
 * newer than the last one.
 */
function follow(address, { event, from, told }) {
  let last = from;
  let source;
  let retry;
  const open = () => {
    clearTimeout(retry);
    if (source || document.hidden) return;
    const place = new URL(address, location.href);
    if (last !== undefined) place.searchParams.set("after", last);
    source = new EventSource(place);
    source.addEventListener("open", () => lively(true));
    source.addEventListener(event, (message) => {
      const id = Number(message.lastEventId);
      if (last !== undefined && id <= last) return;
      last = id;
      told(JSON.parse(message.data), id);
    });
    source.addEventListener("error", () => {
      lively(false);
      if (source?.readyState !== EventSource.CLOSED) return;
      shut();
      retry = setTimeout(open, 3000);
    });
  };
  const shut = () => {
    source?.close();
    source = undefined;
  };
  const seen = () => document.hidden ? shut() : open();
  document.addEventListener("visibilitychange", seen);
  addEventListener("pagehide", shut);
  addEventListener("pageshow", open);
  closers.push(() => {
    clearTimeout(retry);
    shut();
    document.removeEventListener("visibilitychange", seen);
    removeEventListener("pagehide", shut);
    removeEventListener("pageshow", open);
  });
  open();
  return { skipTo: (position) => last = Math.max(last ?? 0, position) };
}

/** While live updates work, a note replaces the reload link. */
function lively(on) {
  for (const place of $$("[data-lively]")) {
    place.dataset.link ??= place.innerHTML;
    if (on) place.textContent = "Updates by itself";
    else if (place.dataset.link) place.innerHTML = place.dataset.link;
  }
}

const MOST_WAITING = 999;

/** New entries wait behind a button, so that the page does not move while it is read. */
function followNew(list, address, { event, parts, idsOf }) {
  const waiting = new Set();
  const show = () => {
    for (const id of waiting) if (document.getElementById(id)) waiting.delete(id);
    const button = $("[data-new]", list);
    if (!button) return;
    button.hidden = waiting.size === 0;
    button.textContent = `${waiting.size}${waiting.size < MOST_WAITING ? "" : "+"} new`;
  };
  const stream = follow(address, {
    event,
    from: Number(list.dataset.position),
    told(data, position) {
      for (const id of idsOf(data, position)) if (waiting.size < MOST_WAITING) waiting.add(id);
      show();
      if (waiting.size > 0) say(`${waiting.size} new`);
    },
  });
  const open = async (click) => {
    if (!click.target.closest("[data-new]")) return;
    const fresh = [...waiting];
    await renew(parts);
    for (const id of fresh) document.getElementById(id)?.classList.add("fresh");
    $("h2", list)?.setAttribute("tabindex", "-1");
    $("h2", list)?.focus();
  };
  const renewed = () => {
    stream.skipTo(Number(list.dataset.position));
    waiting.clear();
    show();
  };
  list.addEventListener("click", open);
  list.addEventListener("renewed", renewed);
  closers.push(() => {
    list.removeEventListener("click", open);
    list.removeEventListener("renewed", renewed);
  });
}

function followEntries(list) {
  followNew(list, list.dataset.entries, {
    event: "entries",
    parts: ["newest", "figures"],
    idsOf({ added, total }) {
      const figure = $("[data-total]");
      if (figure) figure.textContent = total.toLocaleString("en-GB");
      return added.map((id) => `entry-${id}`);
    },
  });
}

function followLog(list) {
  followNew(list, list.dataset.grows, {
    event: "event",
    parts: [list.id],
    idsOf: (_, position) => [`event-${position}`],
  });
}

const SPOKEN_MS = 10_000;

function followPoll(place) {
  let spoken = 0;
  let renewing;
  const again = () => {
    // The stream has no results that only this voter may see, and a change of the poll's state changes
    // more than the numbers.
    renewing ??= setTimeout(() => {
      renewing = undefined;
      renew(["results"]).catch(() => {});
    }, 500);
  };
  follow(place.dataset.poll, {
    event: "poll",
    from: Number(place.dataset.position),
    told(poll, id) {
      if (poll.state !== place.dataset.state) return void renewAll(place, poll);
      if (poll.votes === undefined || !$(".bars", place)) return again();
      place.dataset.position = id;
      draw(place, poll);
      if (Date.now() - spoken < SPOKEN_MS) return;
      spoken = Date.now();
      const { votes, voters } = poll;
      say(`Results: ${votes} ${word(votes, "vote")} from ${voters} ${word(voters, "voter")}`);
    },
  });
  closers.push(() => clearTimeout(renewing));
}

/** Replaces only the results, so that a half-filled form keeps its values. */
async function renewAll(place, poll) {
  place.dataset.state = poll.state;
  say(poll.state === "closed" ? "The poll was closed" : "The poll was opened again");
  await renew(["results"]).catch(() => {});
}

const word = (count, one) => count === 1 ? one : `${one}s`;

function draw(place, poll) {
  const number = (value) => value.toLocaleString("en-GB");
  for (const [what, count] of [["vote", poll.votes], ["voter", poll.voters]]) {
    $(`[data-${what}s]`, place).textContent = number(count);
    $(`[data-word=${what}]`, place).textContent = word(count, what);
  }
  for (const { id, votes } of poll.options) {
    const row = $$("[data-option]", place).find(({ dataset }) => dataset.option === id);
    if (!row) return void renew(["results"]).catch(() => {});
    const share = poll.votes === 0 ? 0 : Math.round(votes / poll.votes * 100);
    $("[data-count]", row).textContent = number(votes);
    $("[data-share]", row).textContent = `${share} %`;
    $(".fill", row).setAttribute("width", `${share}%`);
  }
}

function refreshOften(place) {
  let timer;
  const next = () => {
    const every = Number(place.dataset.refresh);
    if (every > 0) timer = setTimeout(turn, every);
  };
  const turn = async () => {
    if (!document.hidden) await renew([place.id]).catch(() => {});
    next();
  };
  next();
  lively(true);
  closers.push(() => clearTimeout(timer));
}

/* ---- in a frame: tell the host page how tall the content is ---- */

if (parent !== window && document.documentElement.classList.contains("embedded")) {
  const tell = () =>
    parent.postMessage({ tallybook: Math.ceil(document.body.getBoundingClientRect().height) }, "*");
  new ResizeObserver(tell).observe(document.body);
}

start();
$("[data-focus]")?.focus();
