// The API as a page, generated from the specifications that serve it.
import { STATUS } from "../errors.ts";
import type { Context } from "../http/context.ts";
import type { Spec } from "../http/endpoint.ts";
import { Layout, page } from "./layout.tsx";

const WHO = { open: "", guarded: "token where access is guarded", admin: "admin token" };

export function docsPage(c: Context, specs: Spec[]): string {
  const groups = [...Map.groupBy(specs, ({ tag }) => tag)];
  return page(
    <Layout c={c} title="API">
      <h1>API</h1>
      <p>
        JSON and pages come from the same addresses, by{" "}
        <code>Accept</code>. The same as a document for machines:{" "}
        <a href="/openapi.json">openapi.json</a>.
      </p>
      {groups.map(([tag, calls]) => (
        <section aria-labelledby={`tag-${tag}`}>
          <h2 id={`tag-${tag}`}>{tag}</h2>
          <dl class="calls">
            {calls.map((spec) => <Call spec={spec} />)}
          </dl>
        </section>
      ))}
      <section aria-labelledby="problems">
        <h2 id="problems">problems</h2>
        <p>
          Errors are <code>application/problem+json</code>; their type points here.
        </p>
        <dl class="calls">
          {Object.entries(STATUS).map(([code, status]) => (
            <div id={code}>
              <dt>
                <code>{code}</code>
              </dt>
              <dd>{status}</dd>
            </div>
          ))}
        </dl>
      </section>
    </Layout>,
  );
}

function Call({ spec }: { spec: Spec }) {
  const who = WHO[spec.access ?? "open"];
  return (
    <div>
      <dt>
        <code>{`${spec.method.toUpperCase()} ${spec.path}`}</code>
        {who === "" ? "" : <span class="tag">{who}</span>}
      </dt>
      <dd>{spec.summary}</dd>
    </div>
  );
}
