/** What it would take to have a model published: compared with the lockfile, this machine's index, and the network. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { parseFileHash, parseItemHash, type FileHash, type ItemHash, type Sha256 } from "../../src/domain/hash.ts";
import type { PinnedImage } from "../../src/domain/volume.ts";
import type { BuiltFacts } from "../artefacts.ts";
import type { LocalModel } from "../commands/parts.ts";
import type { AlephNetwork } from "../network/aleph.ts";
import type { ProgramSpec } from "../network/network.ts";
import type { LockedModel } from "../pins.ts";
import { findKept, findPinned, type ImageRecipe, type PinningTools } from "./pin-image.ts";
import { findProgram, toProgramSpec } from "./publish-program.ts";

export interface PlannedImage {
  readonly recipe: ImageRecipe;
  /** `keep`: the network has it. `upload`: it is to be built, uploaded and pinned. */
  readonly action: "keep" | "upload";
  /** Nearly, where the image is not built yet. */
  readonly bytes: number;
  readonly pinned: PinnedImage | undefined;
  readonly why: string;
  /** Credits per hour for keeping the file. */
  readonly creditsPerHour: number;
}

export interface PlannedModel {
  readonly model: LocalModel;
  readonly runtime: PlannedImage;
  readonly code: PlannedImage;
  readonly volumes: readonly PlannedImage[];
  /** Undefined where it is to be published. */
  readonly published: ItemHash | undefined;
  readonly why: string;
  /** Credits per hour of the program alone. */
  readonly creditsPerHour: number;
}

export interface PlanRequest {
  readonly resources: ProgramSpec["resources"];
  readonly apiKeyHashes: readonly Sha256[];
  readonly locked: LockedModel | undefined;
}

export interface PlanningTools extends PinningTools {
  readonly network: AlephNetwork;
}

export interface ModelRecipes {
  readonly runtime: ImageRecipe;
  readonly code: ImageRecipe;
  readonly volumes: readonly ImageRecipe[];
}

/** Nothing is sent. Small images are built, since only their bytes tell whether the network has them. */
export async function planModel(
  model: LocalModel,
  recipes: ModelRecipes,
  request: PlanRequest,
  tools: PlanningTools,
): Promise<PlannedModel> {
  const { network, signal } = tools;
  const runtime = await planImage(recipes.runtime, true, tools);
  const code = await planImage(recipes.code, true, tools);
  const volumes: PlannedImage[] = [];
  // Without its weights a volume cannot be built: it is unknown to the network as far as this machine knows.
  for (const recipe of recipes.volumes) volumes.push(await planImage(recipe, false, tools));

  const images = [runtime, code, ...volumes];
  const spec = toPlannedSpec(model, { runtime, code, volumes }, request);
  const isComplete = images.every(({ pinned }) => pinned !== undefined);
  const published = isComplete ? await findProgram(spec, tools) : undefined;
  const sizes = new Map(images.filter(({ pinned }) => pinned === undefined).map((one) => [refOf(one), one.bytes]));
  return {
    model,
    runtime,
    code,
    volumes,
    published,
    why: whyPublish(published, images, request.locked),
    creditsPerHour:
      published === undefined
        ? await network.estimateProgram(spec, sizes, signal)
        : await network.price(published, signal),
  };
}

/** With the hashes of what is pinned, and stand-ins for what is not. */
function toPlannedSpec(
  model: LocalModel,
  { runtime, code, volumes }: Pick<PlannedModel, "runtime" | "code" | "volumes">,
  { resources, apiKeyHashes }: PlanRequest,
): ProgramSpec {
  const modelFile = volumes[0]?.recipe.fileName ?? model.fileName;
  const parts = { model, modelFile, resources, apiKeyHashes };
  return toProgramSpec({ ...parts, runtime: asPinned(runtime), code: asPinned(code), volumes: volumes.map(asPinned) });
}

async function planImage(recipe: ImageRecipe, mayBuild: boolean, tools: PlanningTools): Promise<PlannedImage> {
  const { index, network, signal } = tools;
  const kept = await findKept(recipe.key, tools);
  if (kept !== undefined) {
    return { ...(await keep(recipe, kept, network, signal)), why: "nothing has changed" };
  }
  const isKnown = index.image(recipe.key) !== undefined;
  const why = isKnown ? "the network does not keep it" : "its inputs have changed, or it was never built here";
  if (!mayBuild && index.built(recipe.key) === undefined) {
    const bytes = recipe.aboutBytes ?? 0;
    const creditsPerHour = await network.estimateStore(standIn(recipe), bytes, signal);
    return { recipe, action: "upload", bytes, pinned: undefined, why, creditsPerHour };
  }
  const image = index.built(recipe.key) ?? (await build(recipe, tools));
  const found = await findPinned(image, network, signal);
  if (found === undefined) {
    const creditsPerHour = await network.estimateStore(parseFileHash(image.sha256), image.bytes, signal);
    return { recipe, action: "upload", bytes: image.bytes, pinned: undefined, why, creditsPerHour };
  }
  await index.recordImage(recipe.key, found);
  return { ...(await keep(recipe, found, network, signal)), why: "the network has these bytes already" };
}

async function build(recipe: ImageRecipe, { index, buildDirectory, signal }: PlanningTools): Promise<BuiltFacts> {
  const path = join(buildDirectory, `${recipe.key.replaceAll(/[^\w-]/g, "-")}.squashfs`);
  try {
    const image = await recipe.build(path, { signal });
    await index.recordBuilt(recipe.key, image);
    return image;
  } finally {
    await rm(path, { force: true });
  }
}

async function keep(recipe: ImageRecipe, pinned: PinnedImage, network: AlephNetwork, signal: AbortSignal) {
  const creditsPerHour = await network.price(pinned.itemHash, signal);
  return { recipe, action: "keep", bytes: pinned.bytes, pinned, creditsPerHour } as const;
}

function whyPublish(
  published: ItemHash | undefined,
  images: readonly PlannedImage[],
  locked: LockedModel | undefined,
): string {
  if (published !== undefined) return "a program that says the same is published";
  if (locked === undefined) return "it was never published";
  const changed = images.filter(({ action }) => action === "upload").map(({ recipe }) => recipe.stage);
  if (changed.length > 0) return `changed: ${changed.join(", ")}`;
  return "its settings have changed, or the network has forgotten it";
}

function asPinned(image: PlannedImage): PinnedImage {
  if (image.pinned !== undefined) return image.pinned;
  const hash = hashOf(image.recipe);
  return { sha256: hash as Sha256, bytes: image.bytes, fileHash: standIn(image.recipe), itemHash: refOf(image) };
}

function refOf(image: PlannedImage): ItemHash {
  return image.pinned?.itemHash ?? parseItemHash(hashOf(image.recipe));
}

function standIn(recipe: ImageRecipe): FileHash {
  return parseFileHash(hashOf(recipe));
}

/** Of the right form, and nobody's. */
function hashOf(recipe: ImageRecipe): string {
  return createHash("sha256").update(recipe.key).digest("hex");
}
