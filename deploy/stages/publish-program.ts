import type { ItemHash, Sha256 } from "../../src/domain/hash.ts";
import { NO_DEFAULTS } from "../../src/domain/model-defaults.ts";
import { CODE_ENTRYPOINT, modelMount, type PinnedImage } from "../../src/domain/volume.ts";
import { keyOf } from "../artefacts.ts";
import type { LocalModel } from "../commands/parts.ts";
import type { ProgramSpec } from "../network/network.ts";
import { isProcessed, type PinningTools } from "./pin-image.ts";

/** Tells whoever reads the message that it runs as a process of its node, and cannot boot. */
export const HOST_RUNTIME_COMMENT = "pinference without a runtime: for processes of a local node";

export interface ProgramParts {
  readonly model: LocalModel;
  readonly runtime: PinnedImage;
  readonly code: PinnedImage;
  /** In the order of their mounts: more than one for a model in shards. */
  readonly volumes: readonly PinnedImage[];
  /** Of the first shard, or the whole model, in its volume. */
  readonly modelFile: string;
  readonly resources: ProgramSpec["resources"];
  readonly apiKeyHashes?: readonly Sha256[];
  /** The runtime is what stands in for one: see deploy/image/host-runtime.ts. */
  readonly isHostRuntime?: boolean;
}

/** What the PROGRAM message says. The same parts give the same spec, and so the same URL. */
export function toProgramSpec(parts: ProgramParts): ProgramSpec {
  const { model, runtime, code, volumes, modelFile, resources, apiKeyHashes = [], isHostRuntime = false } = parts;
  return {
    name: model.id,
    runtime: { ref: runtime.itemHash, comment: isHostRuntime ? HOST_RUNTIME_COMMENT : "pinference runtime" },
    code: { ref: code.itemHash, entrypoint: CODE_ENTRYPOINT },
    volumes: volumes.map(({ itemHash }, index) => ({ mount: modelMount(index), ref: itemHash, comment: model.id })),
    variables: {
      PINFERENCE_MODEL: `${modelMount(0)}/${modelFile}`,
      PINFERENCE_MODEL_ID: model.id,
      ...(model.aliases.length === 0 ? {} : { PINFERENCE_MODEL_ALIASES: model.aliases.join(",") }),
      PINFERENCE_CONTEXT_LENGTH: String(model.contextLength),
      PINFERENCE_SLOTS: String(model.slots),
      ...defaultsOf(model),
      ...(model.licence === undefined ? {} : { PINFERENCE_MODEL_LICENCE: model.licence }),
      // The guest checks its volumes against these before it serves.
      PINFERENCE_CODE_SHA256: code.sha256,
      PINFERENCE_MODEL_SHA256: volumes.map(({ sha256 }) => sha256).join(","),
      // Whoever has a key of one of these may use the model; variables are public, so no key stands here.
      ...(apiKeyHashes.length === 0 ? {} : { PINFERENCE_API_KEY_SHA256: apiKeyHashes.join(",") }),
    },
    resources,
  };
}

/** Nothing where the model has none, so that programs of before keep their hash. */
function defaultsOf({ defaults: { sampling, systemPrompt } = NO_DEFAULTS }: LocalModel): Record<string, string> {
  return {
    ...(Object.keys(sampling).length === 0 ? {} : { PINFERENCE_SAMPLING: JSON.stringify(sampling) }),
    ...(systemPrompt === undefined ? {} : { PINFERENCE_SYSTEM_PROMPT: systemPrompt }),
  };
}

/** Publishes the program, unless the node still has a message that says the same. */
export async function publishProgram(spec: ProgramSpec, tools: PinningTools): Promise<ItemHash> {
  const { index, network, out, signal } = tools;
  const found = await findProgram(spec, tools);
  const itemHash = found ?? (await network.publish(spec, signal));
  await index.recordProgram(programKey(spec, network), itemHash);
  out.emit({
    event: "stage",
    stage: "program",
    outcome: found === undefined ? "published" : "cached",
    model: spec.name,
    itemHash,
  });
  return itemHash;
}

/** From what was published here before, else from the network: the index may have been lost. */
export async function findProgram(
  spec: ProgramSpec,
  { index, network, signal }: Pick<PinningTools, "index" | "network" | "signal">,
): Promise<ItemHash | undefined> {
  const known = index.program(programKey(spec, network));
  if (known !== undefined && (await isProcessed(network, known, signal))) return known;
  return network.findProgram(spec, signal);
}

function programKey(spec: ProgramSpec, { owner }: Pick<PinningTools["network"], "owner">): string {
  return keyOf("program", { spec, owner });
}
