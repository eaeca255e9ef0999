import { rm } from "node:fs/promises";
import { join } from "node:path";

import { type ItemHash, parseFileHash } from "../../src/domain/hash.ts";
import type { BuiltImage, PinnedImage } from "../../src/domain/volume.ts";
import type { ArtefactIndex, BuiltFacts } from "../artefacts.ts";
import type { Output } from "../commands/output.ts";
import type { Network, TransferOptions } from "../network/network.ts";

/** How to make an image, and under which key it is remembered. */
export interface ImageRecipe {
  /** What people call it, such as `code volume`. */
  readonly stage: string;
  readonly model?: string;
  /** The model file in it, of a model volume. */
  readonly fileName?: string;
  /** What the image will have, nearly, where it is not built yet. */
  readonly aboutBytes?: number;
  /** Equal keys promise equal bytes. */
  readonly key: string;
  build(path: string, options: TransferOptions): Promise<BuiltImage>;
}

export interface PinningTools {
  readonly index: ArtefactIndex;
  readonly network: Network;
  readonly buildDirectory: string;
  readonly out: Output;
  readonly signal: AbortSignal;
}

/** Builds the image and asks the node to keep it, unless the node still keeps the one made earlier. */
export async function pinImage(recipe: ImageRecipe, tools: PinningTools): Promise<PinnedImage> {
  const { index, out } = tools;
  const startedAt = performance.now();
  const known = await findKept(recipe.key, tools);
  const isCached = known !== undefined;
  const pinned = known ?? (await buildAndPin(recipe, tools));
  if (!isCached) await index.recordImage(recipe.key, pinned);
  out.emit({
    event: "stage",
    stage: recipe.stage,
    outcome: isCached ? "cached" : "built",
    ...(recipe.model === undefined ? {} : { model: recipe.model }),
    ...pinned,
    ...(isCached ? {} : { ms: performance.now() - startedAt }),
  });
  return pinned;
}

async function buildAndPin(recipe: ImageRecipe, tools: PinningTools): Promise<PinnedImage> {
  const { network, buildDirectory, signal } = tools;
  const path = join(buildDirectory, `${recipe.key.replaceAll(/[^\w-]/g, "-")}.squashfs`);
  try {
    const image = await recipe.build(path, { signal, onProgress: progress("building", recipe, tools.out) });
    await tools.index.recordBuilt(recipe.key, image);
    return (
      (await findPinned(image, network, signal)) ??
      (await network.pin(image, { signal, onProgress: progress("pinning", recipe, tools.out) }))
    );
  } finally {
    // The node has the bytes now, or the image is incomplete: either way this copy is of no use.
    await rm(path, { force: true });
  }
}

/** The STORE message under which the image of a key is kept already. */
export async function findKept(
  key: string,
  { index, network, signal }: Pick<PinningTools, "index" | "network" | "signal">,
): Promise<PinnedImage | undefined> {
  const known = index.image(key);
  return known !== undefined && (await isKept(known, network, signal)) ? known : undefined;
}

/** The same bytes may have been pinned under another key, or before the index was lost. */
export async function findPinned(
  image: BuiltFacts,
  network: Network,
  signal: AbortSignal,
): Promise<PinnedImage | undefined> {
  for (const fileHash of [parseFileHash(image.sha256), image.cid]) {
    const itemHash = await network.findPin(fileHash, signal);
    if (itemHash === undefined) continue;
    const pinned = { sha256: image.sha256, bytes: image.bytes, fileHash, itemHash };
    if (await isKept(pinned, network, signal)) return pinned;
  }
  return undefined;
}

/** The message alone is not enough: somebody may have deleted the node's files. */
async function isKept({ itemHash, fileHash }: PinnedImage, network: Network, signal: AbortSignal): Promise<boolean> {
  return (await isProcessed(network, itemHash, signal)) && (await network.holds(fileHash, signal));
}

function progress(verb: string, { stage, model }: ImageRecipe, out: Output): (done: number, total: number) => void {
  return (doneBytes, totalBytes) =>
    out.progress({
      event: "progress",
      stage: `${verb} ${stage}`,
      ...(model === undefined ? {} : { model }),
      doneBytes,
      totalBytes,
    });
}

export async function isProcessed(network: Network, itemHash: ItemHash, signal: AbortSignal): Promise<boolean> {
  return (await network.message(itemHash, signal))?.status === "processed";
}
