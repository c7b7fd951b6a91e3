// Which answers Nginx may hold, and what one of them is called: the wish and the address of its key.

/** What readers may wish for, and the Accept header that asks for it, as in nginx.conf. */
export const WISHES = { html: "text/html", json: "application/json", any: "*/*" } as const;

export type Wish = keyof typeof WISHES;

/** `html /users/3` */
export type Copy = `${Wish} /${string}`;

const ID = "[1-9]\\d{0,9}";

// Only what events name as stale when it changes, written in the one way they write it.
const STORED = new RegExp(
  `^/(entries(/${ID})?|users(/${ID})?|items(/${ID})?|polls(/${ID}(/results(\\.csv)?)?)?|results|embed/guestbook|embed/polls/${ID})?$`,
);
// Its links are made from the Host header unless PUBLIC_URL says what they are.
const FEED = "/feed.atom";

export function isWish(text: string | undefined): text is Wish {
  return text !== undefined && Object.hasOwn(WISHES, text);
}

export function isStored(path: string, publicUrl: string | undefined): boolean {
  return STORED.test(path) || (path === FEED && publicUrl !== undefined);
}

export function copyOf(wish: Wish, path: string): Copy {
  return `${wish} ${path as `/${string}`}`;
}

export function partsOf(copy: Copy): { wish: Wish; path: string } {
  const space = copy.indexOf(" ");
  return { wish: copy.slice(0, space) as Wish, path: copy.slice(space + 1) };
}

/** What came over the network or out of the database. */
export function parseCopy(text: string): Copy | undefined {
  const [wish, path = "", ...more] = text.split(" ");
  if (!isWish(wish) || more.length > 0 || !isStored(path, "known")) return undefined;
  return copyOf(wish, path);
}
