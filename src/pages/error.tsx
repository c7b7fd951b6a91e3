// The error page.
import type { Context } from "../http/context.ts";
import { isForNginx } from "../http/nginx_cache.ts";
import type { Problem } from "../http/problem.ts";
import { LoginForm } from "./admin.tsx";
import { Layout, page } from "./layout.tsx";
import { sentence } from "./parts.tsx";

const ADVICE: Record<number, { title: string; text: string }> = {
  400: { title: "That could not be read", text: "Please go back and try once more." },
  401: { title: "This is for the admin", text: "Log in with the admin token to go on." },
  403: { title: "That is not allowed", text: "" },
  404: {
    title: "There is nothing here",
    text: "The address may be mistyped, or what was here has been taken away.",
  },
  405: { title: "That does not work here", text: "" },
  408: { title: "That took too long to arrive", text: "Please go back and send it once more." },
  409: { title: "Something was in the way", text: "" },
  412: {
    title: "That was changed meanwhile",
    text:
      "Somebody changed it after you opened the page. Nothing was overwritten: look at it as it " +
      "is now, and decide again.",
  },
  413: { title: "That is too long", text: "Please go back and shorten it." },
  422: { title: "Some fields are not right", text: "Please go back and mend them." },
  429: {
    title: "That was a little too fast",
    text: "Too much came from your address just now. Go back, wait a moment and try again: " +
      "your browser still has what you typed.",
  },
  503: {
    title: "We cannot do that just now",
    text: "Something behind this page does not answer. Please try again in a moment. If you were " +
      "sending something, go back: your browser still has what you typed.",
  },
};

const OTHERWISE = {
  title: "Something went wrong here",
  text: "It is our fault, not yours, and it has been written down. Please try again later.",
};

export function errorPage(c: Context, problem: Problem): string {
  const known = problem.status < 500 ? { title: problem.title, text: "" } : OTHERWISE;
  const { title, text } = ADVICE[problem.status] ?? known;
  const back = cameFrom(c);
  return page(
    <Layout c={c} title={title} embedded={c.req.path.startsWith("/embed/")}>
      <p class="code">{problem.status}</p>
      <h1>{title}</h1>
      {text === "" ? "" : <p>{text}</p>}
      {problem.status < 500 && problem.detail && !problem.errors
        ? <p class="hint">{problem.detail}</p>
        : ""}
      {problem.errors ? <ul>{problem.errors.map((error) => <li>{sentence(error)}</li>)}</ul> : ""}
      {problem.status === 401 ? <LoginForm next={nextOf(c)} /> : ""}
      <p class="pager">
        {back ? <a href={back}>{problem.status === 412 ? "See it as it is now" : "Back"}</a> : ""}
        <a href="/">To the guestbook</a>
      </p>
      {problem.request_id ? <p class="hint">Request {problem.request_id}</p> : ""}
    </Layout>,
  );
}

/** The Referer, if it is one of our own pages. */
function cameFrom(c: Context): string | undefined {
  const from = c.req.header("referer");
  // A page that Nginx may store is everybody's: it leads nobody back.
  if (from === undefined || !URL.canParse(from) || isForNginx(c)) return undefined;
  const { host, pathname, search } = new URL(from);
  const isOurs = host === c.req.header("host");
  const isHere = c.req.method === "GET" && pathname === c.req.path;
  // `//host/path` would be a path on another host.
  return isOurs && !isHere && !pathname.startsWith("//") ? pathname + search : undefined;
}

function nextOf(c: Context): string {
  return c.req.method === "GET" && c.req.path.startsWith("/admin") ? c.req.path : "/admin";
}
