import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type ShapeName, writeModel } from "../../scripts/make-model.ts";

/** A model of random weights with a vocabulary of 151,936 tokens, infill tokens among them. Removed by `remove`. */
export function makeWideModel(): { readonly path: string; remove(): void } {
  return makeModel("wide");
}

/** A model of random weights in one of the shapes of scripts/make-model.ts. */
export function makeModel(shape: ShapeName): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), `pinference-${shape}-`));
  const path = join(folder, `${shape}.gguf`);
  writeModel(shape, path);
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
