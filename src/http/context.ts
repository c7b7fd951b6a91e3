// What every handler finds in its context.
import type { Context as HonoContext } from "hono";
import type { Services } from "../services.ts";
import type { Limits } from "./limits.ts";
import type { Body } from "./body.ts";
import type { Again } from "./again.ts";

export type Env = {
  /** The address at the other end of the connection. */
  Bindings: { peer: string };
  Variables: {
    services: Services;
    limits: Limits;
    requestId: string;
    client: string;
    admin: boolean;
    /** The digest-free id of this visitor's cookie; undefined where none came along. */
    visitor: string | undefined;
    /** Whose answers an Idempotency-Key repeats, where a call belongs to one visitor. */
    caller: string | undefined;
    body: Body;
    /** Shows the form of this call once more, when what it sent was refused. */
    again: Again | undefined;
    /** Headers were set for pages of other sites; most requests need none. */
    shared: boolean | undefined;
    /** This very answer says everything that the frame would have added. */
    finished: Response | undefined;
    /** The path as its endpoint names it: what metrics count by. */
    route: string | undefined;
  };
};

export type Context = HonoContext<Env>;

export function wantsHtml(c: Context): boolean {
  return (c.req.header("accept") ?? "").includes("text/html");
}
