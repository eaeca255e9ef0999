import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { writeModel } from "../../scripts/make-model.ts";

/** A model of random weights with a vocabulary of 151,936 tokens, infill tokens among them. Removed by `remove`. */
export function makeWideModel(): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "pinference-wide-"));
  const path = join(folder, "wide.gguf");
  writeModel("wide", path);
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
