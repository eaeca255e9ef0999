import { stat } from "node:fs/promises";

import { CodedError } from "../../src/domain/errors.ts";
import { FILE_MODE, planImage, type ImagePlan } from "./plan.ts";

const MODEL_CARD_FILE = "model-card.json";

export interface ModelVolumeOptions {
  readonly ggufPath: string;
  /** The model file's name in the volume. */
  readonly fileName: string;
  /** JSON data; written with sorted keys, so that equal cards are equal bytes. */
  readonly card: object;
}

/** To be built without compression: weights do not shrink, and plain blocks can be mapped into memory. */
export async function planModelVolume({ ggufPath, fileName, card }: ModelVolumeOptions): Promise<ImagePlan> {
  const found = await stat(ggufPath).catch((error: unknown) => {
    throw new CodedError("model_file_missing", `there is no model file at "${ggufPath}"`, { cause: error });
  });
  if (!found.isFile()) throw new CodedError("model_file_missing", `"${ggufPath}" is not a file`);
  return planImage([
    { path: fileName, mode: FILE_MODE, content: { kind: "file", sourcePath: ggufPath, bytes: found.size } },
    {
      path: MODEL_CARD_FILE,
      mode: FILE_MODE,
      content: { kind: "bytes", content: Buffer.from(`${JSON.stringify(card, sortKeys, 2)}\n`) },
    },
  ]);
}

/** By UTF-16 code units, the one order that needs no locale. */
function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}
