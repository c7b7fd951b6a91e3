import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { layOut } from "$src/cli/deploy/secrets.ts";
import { parseConfig } from "$src/config/config.ts";

describe("writing the secrets of a system of containers", () => {
  let root: string;
  const text = (path: string) => Deno.readTextFileSync(`${root}/${path}`);

  beforeEach(async () => {
    root = await Deno.makeTempDir();
    for (const name of ["owner", "data", "app", "cache", "edge"]) {
      await Deno.mkdir(`${root}/${name}`);
    }
  });
  afterEach(() => Deno.remove(root, { recursive: true }));

  it("makes each secret once, and keeps it from then on", async () => {
    const made = await layOut(root, {});
    assertEquals(made.includes("OWNER_PASSWORD") && made.includes("SIGNING_KEY"), true);
    const before = ["owner/url", "data/url", "cache/url", "app/signing_key"].map(text);
    assertEquals(new Set(before).size, 4);
    assertEquals(await layOut(root, {}), []);
    assertEquals(["owner/url", "data/url", "cache/url", "app/signing_key"].map(text), before);
  });

  it("prefers a given value or file to the secret made before", async () => {
    await layOut(root, {});
    await Deno.writeTextFile(`${root}/given`, "from a file\n");
    await layOut(root, { REDIS_PASSWORD: "a/b@c", NGINX_SECRET_FILE: `${root}/given` });
    assertEquals(text("cache/password"), "a/b@c");
    assertEquals(new URL(text("cache/url")).password, encodeURIComponent("a/b@c"));
    assertEquals(text("edge/nginx_secret"), "from a file");
  });

  it("refuses a given file that is empty or missing", async () => {
    for (const path of ["/nowhere", "/dev/null"]) {
      await assertRejects(() => layOut(root, { ADMIN_TOKEN_FILE: path }), Error, path);
    }
  });

  it("leaves the admin token to the service, which treats an empty file as none", async () => {
    await layOut(root, {});
    assertEquals(text("app/admin_token"), "");
    assertEquals(
      parseConfig([{ ADMIN_TOKEN_FILE: `${root}/app/admin_token` }]).ADMIN_TOKEN,
      undefined,
    );
    assertNotEquals(text("app/signing_key"), "");
  });
});
