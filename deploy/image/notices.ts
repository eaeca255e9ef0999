import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { readManifest } from "./package-manifest.ts";

const LICENCE_FILES = /^(?:licen[cs]e|copying|notice)/i;

/**
 * What the authors of bundled packages ask to be kept: name, version and licence of each, and its licence's text.
 * Errors: `image_plan_invalid` for a package that says nothing of its licence.
 */
export function writeNotices(packageRoot: string, packageFolders: readonly string[]): string {
  return packageFolders.map((folder) => noticeOf(join(packageRoot, folder))).join("\n");
}

function noticeOf(folder: string): string {
  const { name, version, license } = readManifest(folder);
  const texts = readdirSync(folder, { withFileTypes: true })
    .filter((item) => item.isFile() && LICENCE_FILES.test(item.name))
    .map((item) => item.name)
    .toSorted()
    .map((file) => readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim());
  if (license === undefined && texts.length === 0) {
    throw new CodedError("image_plan_invalid", `package "${name}" says nothing of its licence`);
  }
  return `${"=".repeat(80)}\n${[`${name} ${version}: ${license ?? "see below"}`, ...texts].join("\n\n")}\n`;
}
