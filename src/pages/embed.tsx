// The guestbook in the frame of another site's page. (An embedded poll uses its own page, polls.tsx.)
import type { Context } from "../http/context.ts";
import { type Newest, NewestEntries, SignForm } from "./entry_parts.tsx";
import { Layout, page } from "./layout.tsx";
import { type RejectedForm, Summary } from "./parts.tsx";

export function embeddedGuestbook(c: Context, newest: Newest): string {
  return page(
    <Layout c={c} title={c.get("services").config.SITE_TITLE} embedded>
      <h1 dir="auto">{c.get("services").config.SITE_TITLE}</h1>
      <section class="sign" aria-label="Sign the guestbook">
        <SignForm action="/embed/sign" slot="signed" />
        <div id="signed"></div>
        <p>
          <a href="/embed/entries/mine">Your entries</a>
        </p>
      </section>
      <NewestEntries newest={newest} />
    </Layout>,
  );
}

export function embeddedSignAgain(c: Context, refused: RejectedForm): string {
  return page(
    <Layout c={c} title="Error: sign the guestbook" embedded>
      <h1>Sign the guestbook</h1>
      <Summary refused={refused} />
      <SignForm action="/embed/sign" refused={refused} />
      <p>
        <a href="/embed/guestbook">Back to the guestbook</a>
      </p>
    </Layout>,
  );
}
