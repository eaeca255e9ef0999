import type { ItemHash } from "../../src/domain/hash.ts";
import { CODE_ENTRYPOINT, modelMount, type PinnedImage } from "../../src/domain/volume.ts";
import { keyOf } from "../artefacts.ts";
import type { LocalModel } from "../commands/parts.ts";
import type { ProgramSpec } from "../network/network.ts";
import { isProcessed, type PinningTools } from "./pin-image.ts";

export interface ProgramParts {
  readonly model: LocalModel;
  readonly runtime: PinnedImage;
  readonly code: PinnedImage;
  readonly volume: PinnedImage;
  readonly resources: ProgramSpec["resources"];
}

/** What the PROGRAM message says. The same parts give the same spec, and so the same URL. */
export function toProgramSpec({ model, runtime, code, volume, resources }: ProgramParts): ProgramSpec {
  return {
    name: model.id,
    runtime: { ref: runtime.itemHash, comment: "pinference runtime" },
    code: { ref: code.itemHash, entrypoint: CODE_ENTRYPOINT },
    volumes: [{ mount: modelMount(0), ref: volume.itemHash, comment: model.id }],
    variables: {
      PINFERENCE_MODEL: `${modelMount(0)}/${model.fileName}`,
      PINFERENCE_MODEL_ID: model.id,
      ...(model.aliases.length === 0 ? {} : { PINFERENCE_MODEL_ALIASES: model.aliases.join(",") }),
      PINFERENCE_CONTEXT_LENGTH: String(model.contextLength),
      PINFERENCE_SLOTS: String(model.slots),
      // The guest checks its volumes against these before it serves.
      PINFERENCE_CODE_SHA256: code.sha256,
      PINFERENCE_MODEL_SHA256: volume.sha256,
    },
    resources,
  };
}

/** Publishes the program, unless the node still has the message that says the same. */
export async function publishProgram(spec: ProgramSpec, tools: PinningTools): Promise<ItemHash> {
  const { index, network, out, signal } = tools;
  const key = keyOf("program", { spec, address: network.address });
  const known = index.program(key);
  const isCached = known !== undefined && (await isProcessed(network, known, signal));
  const itemHash = isCached ? known : await network.publish(spec, signal);
  if (!isCached) await index.recordProgram(key, itemHash);
  out.emit({
    event: "stage",
    stage: "program",
    outcome: isCached ? "cached" : "published",
    model: spec.name,
    itemHash,
  });
  return itemHash;
}
