// Functions that tests run inside a page. Plain JavaScript, as a browser's globals are not Deno's.

export function isTooWide() {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return [];
  return [...document.querySelectorAll("body *")].filter((element) => {
    const { left, right } = element.getBoundingClientRect();
    return right > wide + 1 || left < -1;
  }).map(({ outerHTML }) => outerHTML.slice(0, 80));
}

export function turn(dir) {
  document.documentElement.dir = dir;
}

/** Breaks the page in ways that the checks must detect. */
export function spoil() {
  const main = document.querySelector("main");
  const pale = document.createElement("p");
  pale.textContent = "Too pale to read";
  pale.style.color = "#eee";
  const unnamed = document.createElement("input");
  const small = [1, 2].map(() => {
    const button = document.createElement("button");
    button.textContent = "x";
    button.style.cssText = "all: revert; width: 8px; height: 8px; padding: 0; min-height: 0";
    return button;
  });
  const wide = document.createElement("div");
  wide.style.width = "3000px";
  wide.style.height = "1px";
  main.append(pale, unnamed, ...small, wide);
}

export function fillOf(element) {
  return getComputedStyle(element).fill;
}

export function ground() {
  return getComputedStyle(document.body).backgroundColor;
}

export function noteShifts() {
  globalThis.shift = 0;
  new PerformanceObserver((list) => {
    for (const { value } of list.getEntries()) globalThis.shift += value;
  }).observe({ type: "layout-shift", buffered: true });
}

export function shiftSoFar() {
  return globalThis.shift;
}

export function settled() {
  return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true))));
}

/** Finds what no text may introduce: elements that act, handlers, URLs that run. */
export function foreignParts() {
  const found = [...document.querySelectorAll("main *")].filter((element) =>
    element.matches("script, iframe, object, embed, img, audio, video, style, link, meta, base") ||
    [...element.attributes].some(({ name, value }) =>
      name.startsWith("on") || name === "style" || name === "srcdoc" ||
      (["href", "src", "action", "formaction", "xlink:href"].includes(name) &&
        !/^(\/|#|https?:\/\/)/.test(value))
    )
  );
  return found.map(({ outerHTML }) => outerHTML.slice(0, 120));
}

export function textsOf(selector) {
  return [...document.querySelectorAll(selector)].map(({ textContent }) => textContent);
}

export function readFeed(text) {
  const feed = new DOMParser().parseFromString(text, "application/xml");
  return {
    broken: feed.querySelector("parsererror")?.textContent ?? "",
    titles: [...feed.querySelectorAll("entry > title")].map(({ textContent }) => textContent),
    contents: [...feed.querySelectorAll("entry > content")].map(({ textContent }) => textContent),
  };
}

/** Visible fields and buttons whose edge is invisible. */
export function boundaries() {
  const found = [
    ...document.querySelectorAll("button, textarea, select, input:not([type=hidden])"),
  ];
  return found.filter((element) => element.checkVisibility()).filter((element) => {
    if (["radio", "checkbox"].includes(element.type)) return false;
    const { borderTopStyle, borderTopWidth, borderTopColor, backgroundColor } = getComputedStyle(
      element,
    );
    return borderTopStyle === "none" || parseFloat(borderTopWidth) < 1 ||
      borderTopColor === backgroundColor || borderTopColor === "rgba(0, 0, 0, 0)";
  }).map(({ outerHTML }) => outerHTML.slice(0, 80));
}

export function ringOf() {
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(document.activeElement);
  const seen = document.activeElement !== document.body && outlineStyle !== "none" &&
    parseFloat(outlineWidth) >= 2 && outlineColor !== "rgba(0, 0, 0, 0)";
  return seen ? "seen" : `${document.activeElement.outerHTML.slice(0, 80)} ${outlineStyle}`;
}

/** The layout shifts since the first call, and the animations running now. */
export async function moving() {
  if (!globalThis.moves) {
    globalThis.moves = [];
    for (const type of ["transitionrun", "animationstart"]) {
      addEventListener(type, (event) => {
        globalThis.moves.push(`${type} ${event.propertyName ?? event.animationName}`);
      });
    }
  }
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const now = document.getAnimations().map((one) => one.animationName ?? one.transitionProperty);
  return [...globalThis.moves, ...now.map((name) => `running ${name}`)];
}

export function outlineOf(element) {
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  return [outlineStyle, outlineWidth];
}

export function edgeOf(element) {
  return getComputedStyle(element).borderBlockEndColor;
}
