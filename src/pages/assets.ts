// Scripts, styles and icons. A hash of the content is part of the name, so caches may keep them for ever.
import { hash } from "node:crypto";

const FOLDER = new URL("assets/", import.meta.url);

const TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

export type Asset = { path: string; type: string; text: string };

export const assets = new Map<string, Asset>();

for (const { name } of [...Deno.readDirSync(FOLDER)]) {
  const text = Deno.readTextFileSync(new URL(name, FOLDER));
  const [stem, ending = ""] = name.split(".");
  const path = `/assets/${stem}.${hash("sha256", text, "hex").slice(0, 12)}.${ending}`;
  assets.set(name, { path, text, type: TYPES[ending] ?? "application/octet-stream" });
}

function found(name: string): Asset {
  const asset = assets.get(name);
  if (!asset) throw new Error(`no such asset: ${name}`);
  return asset;
}

/** The path at which a file of the assets folder is served. */
export function asset(name: string): string {
  return found(name).path;
}

export function assetText(name: string): string {
  return found(name).text;
}
