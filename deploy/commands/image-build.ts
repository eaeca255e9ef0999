import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import type { BuiltImage } from "../../src/domain/volume.ts";
import { dataDirectoryPath, openDataDirectory, toDataDirectoryError } from "../data-directory.ts";
import type { ImageRecipe } from "../stages/pin-image.ts";
import { command } from "./command.ts";
import type { Output } from "./output.ts";

/** What a CRN has to fetch before a program's first start, beside the model: about half a minute for 10 MiB. */
const BUDGET_MIB = 60;
const MIB = 1024 * 1024;

export const imageBuild = command({
  name: "image build",
  summary: "Build the runtime and the code volume, and volumes of models, without publishing them",
  positionals: { name: "MODEL", help: "models whose volumes to build as well" },
  options: {
    "data-dir": {
      type: "string",
      value: "DIR",
      help: "where packages and images are kept (default PINFERENCE_DATA_DIR or ~/.pinference)",
    },
  },
  examples: ["pinference image build", "pinference image build --json aleph-tiny-chat"],

  async run(options, references, { env, signal, out, parts }) {
    const directoryPath = dataDirectoryPath(options["data-dir"], env);
    try {
      const directory = await openDataDirectory(directoryPath, env);
      await mkdir(directory.images, { recursive: true });
      const build = (recipe: ImageRecipe) => buildImage(recipe, directory.images, out, signal);
      const runtime = await build(await parts.runtime("vm", directory.packages, true));
      const code = await build(await parts.codeVolume());
      for (const reference of new Set(references)) {
        const request = { directory: directory.models, contextLength: undefined, slots: 1, memoryMiB: undefined };
        const model = await parts.findModel(reference, request, out, signal);
        for (const volume of await parts.modelVolumes(model)) await build(volume);
      }
      const mib = (runtime.bytes + code.bytes) / MIB;
      const message = `runtime and code volume together: ${mib.toFixed(1)} MiB of at most ${BUDGET_MIB} MiB`;
      out.emit({ event: "note", message });
    } catch (error) {
      throw toDataDirectoryError(error, directoryPath) ?? error;
    }
  },
});

/** Always anew: that the same hash comes out again is what one wants to see. */
async function buildImage(
  recipe: ImageRecipe,
  directory: string,
  out: Output,
  signal: AbortSignal,
): Promise<BuiltImage> {
  const { stage, model } = recipe;
  const startedAt = performance.now();
  const name = [stage, ...(model === undefined ? [] : [model])].join("-").replaceAll(/[^\w.-]+/g, "-");
  const image = await recipe.build(join(directory, `${name}.squashfs`), {
    signal,
    onProgress: (doneBytes, totalBytes) =>
      out.progress({
        event: "progress",
        stage: `building ${stage}`,
        ...(model === undefined ? {} : { model }),
        doneBytes,
        totalBytes,
      }),
  });
  out.emit({
    event: "stage",
    stage,
    outcome: "built",
    ...(model === undefined ? {} : { model }),
    bytes: image.bytes,
    sha256: image.sha256,
    detail: image.path,
    ms: performance.now() - startedAt,
  });
  return image;
}
