import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { keyOf } from "../artefacts.ts";
import type { LocalModel } from "../commands/parts.ts";
import type { ImageRecipe } from "../stages/pin-image.ts";
import { filesKey } from "../files-key.ts";
import { planCodeVolume } from "../image/code-volume.ts";
import { planHostRuntime } from "../image/host-runtime.ts";
import { planModelVolume } from "../image/model-volume.ts";
import { buildSquashfs } from "../image/squashfs.ts";

/** Increase when the same model file has to become another image. */
const MODEL_VOLUME_FORMAT = 1;
const RUNTIME_FORMAT = 1;

export function runtimeRecipe(): ImageRecipe {
  return {
    stage: "runtime",
    key: keyOf("runtime", { format: RUNTIME_FORMAT }),
    build: (path, options) => buildSquashfs(planHostRuntime(), path, { ...options, compression: "gzip" }),
  };
}

/** The key names the dependencies by the lockfile and hashes the rest: milliseconds, where building takes seconds. */
export async function codeVolumeRecipe(packageRoot: string): Promise<ImageRecipe> {
  const backends = await readdir(join(packageRoot, "node_modules", "@node-llama-cpp")).catch((): string[] => []);
  const inputs = ["package.json", "package-lock.json", join("dist", "src"), join("dist", "deploy", "image")];
  return {
    stage: "code volume",
    key: keyOf("code", { files: await filesKey(packageRoot, inputs), backends: backends.toSorted() }),
    build: (path, options) =>
      buildSquashfs(planCodeVolume({ packageRoot }).plan, path, { ...options, compression: "gzip" }),
  };
}

export function modelVolumeRecipe({ id, path: ggufPath, fileName, sha256, card }: LocalModel): ImageRecipe {
  return {
    stage: "model volume",
    model: id,
    key: keyOf("model", { sha256, fileName, card, format: MODEL_VOLUME_FORMAT }),
    build: async (path, options) =>
      buildSquashfs(await planModelVolume({ ggufPath, fileName, card }), path, { ...options, compression: "none" }),
  };
}
