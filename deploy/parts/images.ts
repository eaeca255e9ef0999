import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { keyOf } from "../artefacts.ts";
import type { LocalModel } from "../commands/parts.ts";
import type { ImageRecipe } from "../stages/pin-image.ts";
import { filesKey } from "../files-key.ts";
import { planCodeVolume } from "../image/code-volume.ts";
import { planModelVolume, planShardVolumes } from "../image/model-volume.ts";
import { buildSquashfs } from "../image/squashfs.ts";
import { prefixKey, withPrefix } from "./pinned-prefix.ts";

/** Increase when the same model file has to become another image. */
const MODEL_VOLUME_FORMAT = 1;
/**
 * The network takes 4 GiB in one upload, framing included. The same for everybody, whatever a node takes: shards of
 * other sizes would be other hashes.
 */
const MOST_VOLUME_BYTES = 4032 * 2 ** 20;

/** The key names the dependencies by the lockfile and hashes the rest: milliseconds, where building takes seconds. */
export async function codeVolumeRecipe(packageRoot: string): Promise<ImageRecipe> {
  const backends = await readdir(join(packageRoot, "node_modules", "@node-llama-cpp")).catch((): string[] => []);
  const inputs = ["package.json", "package-lock.json", join("dist", "src"), join("dist", "deploy", "image")];
  return {
    stage: "code volume",
    key: keyOf("code", { files: await filesKey(packageRoot, inputs), backends: backends.toSorted() }),
    build: async (path, options) => {
      const { plan } = await planCodeVolume({ packageRoot });
      return buildSquashfs(plan, path, { ...options, compression: "gzip" });
    },
  };
}

/**
 * One volume, or one for each shard of a model that is larger than `mostBytes`. The header of the file suffices to
 * tell which; building takes the whole file, and evaluates a system prompt that is pinned. Errors: `model_file_invalid`,
 * `config_invalid`; `not_supported` for a pinned prompt of a model in several volumes.
 */
export function modelVolumeRecipes(
  model: LocalModel,
  packageRoot: string,
  mostBytes = MOST_VOLUME_BYTES,
): readonly ImageRecipe[] {
  const { id, path: ggufPath, fileName, sha256, bytes, card, pinnedPrompt } = model;
  if (bytes <= mostBytes) {
    const build: ImageRecipe["build"] = (path, options) =>
      withPrefix(model, packageRoot, `${path}.prefix`, options.signal, async (prefixDirectory) => {
        const plan = await planModelVolume({ ggufPath, fileName, card, prefixDirectory });
        return buildSquashfs(plan, path, { ...options, compression: "none" });
      });
    const prefix = pinnedPrompt === undefined ? {} : { prefix: prefixKey(pinnedPrompt, packageRoot) };
    const key = keyOf("model", { sha256, fileName, card, format: MODEL_VOLUME_FORMAT, ...prefix });
    return [{ stage: "model volume", model: id, fileName, aboutBytes: bytes, key, build }];
  }
  if (pinnedPrompt !== undefined) {
    throw new CodedError("not_supported", `${id} is too large for one volume; its system prompt cannot be pinned`);
  }
  return planShardVolumes({ ggufPath, fileName, card, maxBytes: mostBytes }).map((shard, index) => ({
    stage: `model volume ${index + 1}`,
    model: id,
    fileName: shard.fileName,
    aboutBytes: shard.plan.dataBytes,
    key: keyOf("model", { sha256, fileName: shard.fileName, card, mostBytes, format: MODEL_VOLUME_FORMAT }),
    build: (path, options) => buildSquashfs(shard.plan, path, { ...options, compression: "none" }),
  }));
}
