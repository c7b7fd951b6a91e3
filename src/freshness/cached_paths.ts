// The public paths that Nginx may store: only those that events name as stale when they change,
// each in the one spelling that the events use.

/** The longest time that Nginx serves a stored page, from the beginning of its load. */
export const CACHE_SECONDS = 5;

const ID = "[1-9]\\d{0,9}";

const CACHED = new RegExp(
  `^/(entries(/${ID})?|users(/${ID})?|items(/${ID})?|polls(/${ID}(/results(\\.csv)?)?)?|results|embed/guestbook|embed/polls/${ID})?$`,
);
// The feed's links are made from the Host header unless PUBLIC_URL is set.
const FEED = "/feed.atom";

export function isCachedPath(path: string, publicUrl: string | undefined): boolean {
  return CACHED.test(path) || (path === FEED && publicUrl !== undefined);
}
