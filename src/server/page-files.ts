import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

import { CodedError } from "../domain/errors.ts";

export interface Asset {
  readonly type: string;
  readonly content: Buffer;
}

/** The browser's page as scripts/build-page.mjs made it. */
export interface PageFiles {
  /** `{{model}}` stands for the model's name. */
  readonly template: string;
  /** Of the page's one inline script, as a Content-Security-Policy source. */
  readonly scriptHash: string;
  /** By name, which holds a hash of the content. */
  readonly assets: ReadonlyMap<string, Asset>;
}

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

/** Reads the page beside the compiled server. Errors: `config_invalid` where it was not built. */
export function readPageFiles(folder = new URL("../page/", import.meta.url)): PageFiles {
  const index = new URL("index.html", folder);
  if (!existsSync(index)) throw new CodedError("config_invalid", "the page is not built: run npm run build");
  const template = readFileSync(index, "utf8");
  const script = /<script>(.*?)<\/script>/s.exec(template)?.[1] ?? "";
  const assets = new URL("assets/", folder);
  return {
    template,
    scriptHash: `'sha256-${createHash("sha256").update(script).digest("base64")}'`,
    assets: new Map(
      readdirSync(fileURLToPath(assets)).map((name) => [
        name,
        { type: TYPES[extname(name)] ?? "application/octet-stream", content: readFileSync(new URL(name, assets)) },
      ]),
    ),
  };
}
