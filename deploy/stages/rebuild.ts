/** Builds the images that a program should consist of, to compare them with those that it does. */
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import type { LocalModel, Parts } from "../commands/parts.ts";
import type { Rebuild, RebuiltImage } from "../verify/verify.ts";
import type { ImageRecipe } from "./pin-image.ts";
import { HOST_RUNTIME_COMMENT } from "./publish-program.ts";

export interface RebuildOptions {
  readonly parts: Pick<Parts, "runtime" | "codeVolume" | "modelVolumes">;
  readonly buildDirectory: string;
  /** What the runtime is made of. */
  readonly packages: string;
  readonly volumeBytes: number | undefined;
  readonly signal: AbortSignal;
  /** The model file of a program's name. */
  readonly findModel: (name: string) => Promise<LocalModel>;
  readonly onProgress: (stage: string, doneBytes: number, totalBytes: number) => void;
}

export function createRebuild(options: RebuildOptions): Rebuild {
  const { parts, packages, volumeBytes, findModel } = options;
  const tree = "this source tree";
  return {
    runtime: (comment) =>
      orReason(async () => {
        const kind = comment === HOST_RUNTIME_COMMENT ? "host" : "vm";
        return build(await parts.runtime(kind, packages), tree, options);
      }),
    code: () => orReason(async () => build(await parts.codeVolume(), tree, options)),
    volumes: (name) =>
      orReason(async () => {
        const model = await findModel(name);
        const from = `the model file ${model.fileName} with the sha256 ${model.sha256}`;
        const images: RebuiltImage[] = [];
        for (const recipe of await parts.modelVolumes(model, volumeBytes)) {
          images.push(await build(recipe, from, options));
        }
        return images;
      }),
  };
}

async function build(recipe: ImageRecipe, from: string, options: RebuildOptions): Promise<RebuiltImage> {
  const { buildDirectory, signal, onProgress } = options;
  const path = join(buildDirectory, `verify-${recipe.key.replaceAll(/[^\w-]/g, "-")}.squashfs`);
  try {
    const report = (done: number, total: number) => onProgress(recipe.stage, done, total);
    const { sha256, cid } = await recipe.build(path, { signal, onProgress: report });
    return { sha256, cid, from };
  } finally {
    await rm(path, { force: true });
  }
}

/** What cannot be built is a finding of the report, not the end of it. */
async function orReason<Result>(work: () => Promise<Result>): Promise<Result | string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CodedError && error.code !== "interrupted") return error.message;
    throw error;
  }
}
