// deno task verify [--head FILE] [--save FILE]: verifies the log's hash chain, also against a saved head.
import { parseArgs } from "node:util";
import { loadConfig } from "../config/config.ts";
import { AppError, reason } from "../errors.ts";
import { signingKeyText } from "../security/secrets.ts";
import {
  type Head,
  parseHead,
  parseSigningKey,
  publicKeyOf,
  signHead,
} from "../store/signed_head.ts";
import { verifyLog } from "../store/verify.ts";
import { openLog } from "./log.ts";
import { progress } from "./progress.ts";
import { print, run, say } from "./run.ts";

async function readSaved(path: string, ownKey: string): Promise<Head> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new AppError("invalid", `head cannot be read: ${reason(error)}: ${path}`);
  }
  const head = parseHead(text);
  if (head.key !== ownKey) say(`note: the saved head was signed with another key: ${head.key}`);
  return head;
}

await run(async (signal) => {
  const { values } = parseArgs({
    args: Deno.args,
    options: { head: { type: "string" }, save: { type: "string" } },
  });
  const config = loadConfig();
  const key = parseSigningKey(await signingKeyText(config));
  const saved = values.head ? await readSaved(values.head, publicKeyOf(key)) : undefined;
  await using database = await openLog(config, 2);
  const bar = progress("verify");
  const verdict = await verifyLog(database.sql, { saved, signal, onProgress: bar.update });
  bar.finish();
  if (!verdict.ok) {
    await print(`position ${verdict.position} does not fit: ${verdict.problem}\n`);
    return 1;
  }
  const { position, seal } = verdict.head;
  if (values.save) {
    const head = signHead(key, verdict.head, new Date());
    await Deno.writeTextFile(values.save, `${JSON.stringify(head, null, 2)}\n`);
  }
  await print(`verified ${position} events, seal ${seal}\n`);
  const { unreadable = [] } = verdict.ok ? verdict : {};
  for (const { position, subject } of unreadable) {
    await print(`position ${position} cannot be read: the key of ${subject} does not open it\n`);
  }
  return unreadable.length > 0 ? 1 : 0;
});
