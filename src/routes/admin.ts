// The admin desk: login, logout, and the actions of the admin.
import { generateCookie, getCookie } from "hono/cookie";
import { z } from "zod";
import { type Context, wantsHtml } from "../http/context.ts";
import { endpoint } from "../http/endpoint.ts";
import { checkToken, SESSION_COOKIE } from "../http/access.ts";
import { sendCommandResult } from "../http/respond.ts";
import { setHeader } from "../http/response_headers.ts";
import { isSecure } from "../http/visitor_cookie.ts";
import { adminPage, loginPage } from "../pages/admin.tsx";
import { adminVerifyPage } from "../pages/admin_works.tsx";
import { SESSION_SECONDS } from "../security/sessions.ts";
import { verifyLog } from "../store/verify.ts";
import { countHeld, shownTotal } from "$projections/guestbook.ts";
import { countOpenPolls } from "$projections/polls.ts";
import { cacheFacts } from "../observability/cache_report.ts";
import { healthOf } from "../observability/health.ts";

const TAG = "admin";

const said = z.object({ message: z.string() });
const verdict = z.object({
  ok: z.boolean(),
  position: z.int(),
  seal: z.string().optional(),
  problem: z.string().optional(),
  unreadable: z.array(z.object({ position: z.int(), subject: z.string() })).optional(),
});

/** The redirect target after login; only paths of the desk, to prevent an open redirect. */
const deskPath = z.string().max(200).regex(/^\/admin(\/[\w/-]*)?$/).catch("/admin").default(
  "/admin",
);

function openSession(c: Context, id: string): void {
  const cookie = generateCookie(SESSION_COOKIE, id, {
    path: "/",
    httpOnly: true,
    sameSite: "Strict",
    secure: isSecure(c, c.get("services").config.PUBLIC_URL),
    maxAge: SESSION_SECONDS,
  });
  setHeader(c, "Set-Cookie", cookie);
}

export const adminRoutes = [
  endpoint({
    method: "get",
    path: "/admin",
    summary: "The admin desk, or its login form",
    tag: TAG,
    replies: { 200: { description: "A page", type: "text/html" } },
  }, async (c) => {
    c.header("Cache-Control", "no-store");
    if (!c.get("admin")) return c.html(loginPage(c));
    const services = c.get("services");
    const { sql } = services;
    return c.html(adminPage(c, {
      health: await healthOf(services),
      cache: await cacheFacts(services),
      entries: await shownTotal(sql),
      held: await countHeld(sql),
      polls: await countOpenPolls(sql),
    }));
  }),

  endpoint({
    method: "post",
    path: "/admin/login",
    summary: "Log in with the admin token",
    tag: TAG,
    body: z.object({ token: z.string().min(1).max(500), next: deskPath }),
    replies: {
      200: { description: "Logged in", schema: said },
      303: { description: "Logged in, by a form" },
      401: { description: "The token is wrong" },
    },
    again: loginPage,
  }, async (c, { body }) => {
    await checkToken(c, body.token);
    openSession(c, await c.get("services").sessions.open());
    return sendCommandResult(c, { json: { message: "Logged in" }, location: body.next });
  }),

  endpoint({
    method: "post",
    path: "/admin/logout",
    summary: "Log out",
    tag: TAG,
    replies: {
      200: { description: "Logged out", schema: said },
      303: { description: "Logged out, by a form" },
    },
  }, async (c) => {
    const session = getCookie(c, SESSION_COOKIE);
    if (session) await c.get("services").sessions.close(session);
    setHeader(c, "Set-Cookie", generateCookie(SESSION_COOKIE, "", { path: "/", maxAge: 0 }));
    return sendCommandResult(c, { json: { message: "Logged out" }, location: "/admin" });
  }),

  endpoint({
    method: "post",
    path: "/admin/replay",
    summary: "Rebuild one or all projections from the log",
    tag: TAG,
    access: "admin",
    body: z.object({ projection: z.string().max(50).optional() }),
    replies: {
      200: { description: "Begun", schema: said },
      303: { description: "Begun, by a form" },
      409: { description: "Another replay is under way" },
    },
  }, async (c, { body }) => {
    await c.get("services").projectionSupervisor.start(body.projection ? [body.projection] : []);
    return sendCommandResult(c, { json: { message: "Replaying" }, location: "/admin/projections" });
  }),

  endpoint({
    method: "post",
    path: "/admin/verify",
    summary: "Verify the log against its hash chain",
    tag: TAG,
    access: "admin",
    replies: {
      200: { description: "The result of the verification", schema: verdict },
    },
  }, async (c) => {
    const found = await verifyLog(c.get("services").sql);
    const { unreadable } = found.ok ? found : {};
    const json = found.ok ? { ok: true, ...found.head, unreadable } : found;
    c.header("Cache-Control", "no-store");
    return wantsHtml(c) ? c.html(adminVerifyPage(c, json)) : c.json(json);
  }),

  endpoint({
    method: "post",
    path: "/admin/cache/clear",
    summary: "Clear the cache of query results",
    tag: TAG,
    access: "admin",
    replies: {
      200: { description: "Cleared", schema: said },
      303: { description: "Cleared, by a form" },
    },
  }, async (c) => {
    await c.get("services").cache.backend.clear();
    return sendCommandResult(c, { json: { message: "Cleared" }, location: "/admin/caches" });
  }),
];
