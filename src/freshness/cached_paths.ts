// Which public paths Nginx may store: only those that events name as stale when they change, each in
// the one spelling in which the events name it.

const ID = "[1-9]\\d{0,9}";

const CACHED = new RegExp(
  `^/(entries(/${ID})?|users(/${ID})?|items(/${ID})?|polls(/${ID}(/results(\\.csv)?)?)?|results|embed/guestbook|embed/polls/${ID})?$`,
);
// Its links are made from the Host header unless PUBLIC_URL says what they are.
const FEED = "/feed.atom";

export function isCachedPath(path: string, publicUrl: string | undefined): boolean {
  return CACHED.test(path) || (path === FEED && publicUrl !== undefined);
}
