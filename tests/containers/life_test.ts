// The lifecycle of the system: down and up, a crash of each of its containers, and the tasks inside it.
import { assert, assertEquals, assertMatch } from "@std/assert";
import { after, before, describe, it } from "@std/testing/bdd";
import { waitFor } from "../support/until.ts";
import { lost, startLoad } from "./load.ts";
import { crash, inspect, must, sign, System, total } from "./system.ts";

const ENOUGH = 30;

describe("a system of containers", () => {
  let system: System;
  before(async () => {
    system = await System.up({ env: { APP_REPLICAS: "2" } });
  });
  after(() => system[Symbol.asyncDispose]());

  const task = async (...argv: string[]) => {
    const { code, text, errors } = await system.exec("app", "deno", "task", ...argv);
    assertEquals(code, 0, `${text}\n${errors}`);
    return `${text}\n${errors}`;
  };

  for (const service of ["app", "redis", "nginx", "postgres"]) {
    it(`recovers after ${service} was killed under load, and has lost nothing`, async () => {
      const load = startLoad(system.url);
      await waitFor(() => load.acknowledged.length >= ENOUGH, 30_000, "writes");
      const { id } = await system.container(service);
      const started = await inspect(id, "{{.State.StartedAt}}");
      await crash(id);
      const isBack = async () => await inspect(id, "{{.State.StartedAt}}") !== started;
      await waitFor(isBack, 30_000, `${service} to be started again`);
      const before = load.acknowledged.length;
      await waitFor(() => load.acknowledged.length >= before + ENOUGH, 60_000, "writes after it");
      await load.stop();
      await system.answers();
      assertEquals(await lost(system.url, load), []);
      assertMatch(await task("verify"), /verified \d+ events/);
    });
  }

  it("runs replay, verify and backup inside", async () => {
    await sign(system.url, "before the replay");
    const count = await total(system.url);
    assertMatch(await task("replay"), /rebuilt up to \d+/);
    assertMatch(await task("replay", "--check"), /guestbook: equal/);
    assertMatch(await task("verify"), /verified \d+ events/);
    assertMatch(await task("backup"), /backed up \d+ events: backups\/log-/);
    assertEquals(await total(system.url), count);
  });

  it("keeps its data across down and up", async () => {
    const count = await total(system.url);
    assert(count > 0);
    await system.compose("down");
    assertEquals(await system.containers(), []);
    await system.up();
    assertEquals(await total(system.url), count);
    assertMatch(await task("verify"), /verified \d+ events/);
  });

  it("restores a backup into a fresh system, and it verifies", async () => {
    const count = await total(system.url);
    const [, log = ""] = (await task("backup")).match(/events: (backups\/log-\d+\.ndjson)/) ?? [];
    const { id } = await system.container("app");
    const kept = await Deno.makeTempDir();
    await must(["docker", "cp", `${id}:/app/backups`, kept]);

    await system.compose("down", "-v");
    const from = ["-v", `${kept}/backups:/from:ro`, "--user", "0"];
    const restore = ["app", "deno", "task", "restore", "/from"];
    const { code, text, errors } = await system.tryCompose(
      "run",
      "--rm",
      "-T",
      ...from,
      ...restore,
    );
    assertEquals(code, 0, text + errors);
    // The head that was signed when the backup was made.
    const head = JSON.parse(await Deno.readTextFile(`${kept}/${log}.head`));
    assertMatch(text + errors, new RegExp(`restored ${head.position} events.*seal ${head.seal}`));
    await system.up();
    assertEquals(await total(system.url), count);
    assertMatch(await task("verify"), /verified \d+ events/);
    await Deno.remove(kept, { recursive: true });
  });

  it("starts empty after down -v", async () => {
    await sign(system.url, "gone tomorrow");
    await system.compose("down", "-v");
    const filter = `label=com.docker.compose.project=${system.project}`;
    assertEquals(await must(["docker", "volume", "ls", "-q", "--filter", filter]), "");
    await system.up();
    assertEquals(await total(system.url), 0);
  });
});
