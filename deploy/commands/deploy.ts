import { CodedError } from "../../src/domain/errors.ts";
import type { ItemHash } from "../../src/domain/hash.ts";
import type { PinnedImage } from "../../src/domain/volume.ts";
import type { LockedImage, LockedModel } from "../pins.ts";
import { askFirstQuestion, curlLine } from "../stages/first-answer.ts";
import { pinImage, type ImageRecipe } from "../stages/pin-image.ts";
import { publishProgram, toProgramSpec } from "../stages/publish-program.ts";
import { findCrns, warmOnOneOf } from "../stages/warm.ts";
import { command, type CommandContext, type ValuesOf } from "./command.ts";
import type { PlanEvent } from "./events.ts";
import { asOperator, START_MINUTES, type Operator } from "./operator.ts";
import { makePlan, modelRequest, PLAN_OPTIONS, toCost, type Planned } from "./planning.ts";

const MIB = 1_048_576;
/** Of a program that any compute node starts when it is asked through the network's own gateway. */
const GATEWAY = "https://aleph.sh";

const WAY_SECONDS = 10;
const NO_ANSWER =
  "The program is published: run the same command again, which asks once more. Where it goes on so, deploy the model " +
  "with more --memory, or name another compute node with --crn";

const OPTIONS = {
  ...PLAN_OPTIONS,
  yes: { type: "boolean", help: "do not ask before anything is uploaded or published" },
  crn: { type: "string", value: "URLS", help: "compute nodes to start it on, the first that can (default: the best)" },
  minutes: START_MINUTES,
  "no-start": { type: "boolean", help: "publish only: start nothing, ask nothing" },
} as const;

type DeployOptions = ValuesOf<typeof OPTIONS>;

export const deploy = command({
  name: "deploy",
  summary: "Publish models on the network: pack, pin, publish, start, ask a question, record it in the lockfile",
  positionals: {
    name: "MODEL",
    help: "catalogue id, hf:owner/repository/file.gguf or a file (default: what is published, or shall be)",
  },
  options: OPTIONS,
  examples: ["pinference deploy qwen3-0.6b", "pinference deploy --yes --json"],
  async run(options, references, context) {
    await asOperator(options, context, async (operator) => {
      const planned = await makePlan(references, options, operator, context);
      context.out.emit(planned.event);
      if (planned.event.todo) {
        requireFunds(planned.event);
        await confirm(options, context);
      }
      for (const model of planned.models) await deployModel(model, options, operator, context);
    });
  },
});

/** Errors: `balance_insufficient`. */
function requireFunds({ balance, owner }: PlanEvent): void {
  if (balance.isEnough) return;
  const { credits, requiredCredits } = balance;
  const missing = Math.ceil(requiredCredits - credits);
  const rule = "the network asks for a day of everything that runs before it takes one thing more";
  throw new CodedError(
    "balance_insufficient",
    `${owner} has ${credits} credits and needs ${requiredCredits}: ${rule}. Add ${missing} credits ` +
      `(${(missing / 1e6).toFixed(2)} dollars), or forget what is not needed any more. Nothing was sent`,
  );
}

/** Errors: `usage` where nobody can be asked, `interrupted` for a no. */
async function confirm(options: DeployOptions, { out, parts, signal }: CommandContext): Promise<void> {
  if (options.yes) return;
  const answer = out.json ? undefined : await parts.confirm("Do this?", signal);
  if (answer === undefined) {
    throw new CodedError("usage", "nobody can be asked whether to go on: look at the plan, then add --yes");
  }
  if (!answer) throw new CodedError("interrupted", "nothing was sent");
}

async function deployModel(
  planned: Planned["models"][number],
  options: DeployOptions,
  operator: Operator,
  context: CommandContext,
): Promise<void> {
  const { out, signal } = context;
  const { network, lockfile } = operator;
  const { locked } = planned.request;
  const { itemHash, model } =
    planned.published === undefined
      ? await publishModel(planned, options, operator, context)
      : { itemHash: planned.published, model: lockedOf(planned, planned.published, operator, kept(planned)) };
  if (locked?.itemHash === itemHash) {
    await lockfile.set(planned.model.id, model);
    const base = `${model.url}/v1`;
    const cost = toCost(planned.creditsPerHour);
    const curl = curlLine(base, planned.model.id);
    return out.emit({
      event: "deployed",
      model: planned.model.id,
      itemHash,
      baseUrl: base,
      answer: undefined,
      cost,
      curl,
    });
  }
  const crn = options["no-start"] ? undefined : await start(itemHash, planned.model.id, options, operator, context);
  const baseUrl = crn === undefined ? `${model.url}/v1` : `${crn}/vm/${itemHash}/v1`;
  const answer = crn === undefined ? undefined : await ask(baseUrl, planned.model.id, options, context);
  // Last, so that a run that was killed before is made good by the next one: the network remembers the program.
  await lockfile.set(planned.model.id, model);
  out.emit({
    event: "deployed",
    model: planned.model.id,
    itemHash,
    baseUrl,
    answer,
    cost: toCost(await network.price(itemHash, signal)),
    curl: curlLine(baseUrl, planned.model.id),
  });
}

async function publishModel(
  planned: Planned["models"][number],
  options: DeployOptions,
  operator: Operator,
  context: CommandContext,
): Promise<{ readonly itemHash: ItemHash; readonly model: LockedModel }> {
  const { parts, out, signal } = context;
  const { network, index, directory } = operator;
  const tools = { index, network, buildDirectory: directory.build, out, signal };
  const isBuilt = planned.volumes.every(({ action }) => action === "keep");
  // Only a volume that must be built needs the model's weights.
  const model =
    isBuilt || planned.model.isWhole
      ? planned.model
      : await parts.findModel(planned.reference, modelRequest(options, directory.models), out, signal);
  const recipes = isBuilt
    ? planned.volumes.map(({ recipe }) => recipe)
    : await parts.modelVolumes(model, options["volume-mib"] * MIB);
  const runtime = await pinImage(planned.runtime.recipe, tools);
  const code = await pinImage(planned.code.recipe, tools);
  const volumes: PinnedImage[] = [];
  for (const recipe of recipes) volumes.push(await pinImage(recipe, tools));
  const modelFile = recipes[0]?.fileName ?? model.fileName;
  const { resources, apiKeyHashes } = planned.request;
  const spec = toProgramSpec({ model, runtime, code, volumes, modelFile, resources, apiKeyHashes });
  const itemHash = await publishProgram(spec, tools);
  const images = { runtime, code, volumes: zip(recipes, volumes) };
  return { itemHash, model: lockedOf(planned, itemHash, operator, images) };
}

interface Images {
  readonly runtime: PinnedImage;
  readonly code: PinnedImage;
  readonly volumes: readonly LockedImage[];
}

function kept({ runtime, code, volumes }: Planned["models"][number]): Images {
  const pinnedOf = (image: typeof runtime) => image.pinned as PinnedImage;
  const recipes = volumes.map(({ recipe }) => recipe);
  return { runtime: pinnedOf(runtime), code: pinnedOf(code), volumes: zip(recipes, volumes.map(pinnedOf)) };
}

/** The entry of the lockfile; the one that is there, where it says the same. */
function lockedOf(
  { model, request, runtime, code }: Planned["models"][number],
  itemHash: ItemHash,
  { network }: Operator,
  images: Images,
): LockedModel {
  const { locked } = request;
  const isSame = locked?.itemHash === itemHash;
  const source = (model.card as { source?: string }).source;
  const earlier = locked === undefined ? [] : [...locked.previous, ...(isSame ? [] : [locked.itemHash])];
  return {
    itemHash,
    url: isSame ? locked.url : `${publicBase(network.apiServer)}/vm/${itemHash}`,
    owner: network.owner,
    sender: isSame ? locked.sender : network.address,
    publishedAt: isSame ? locked.publishedAt : new Date().toISOString(),
    gguf: { sha256: model.sha256, bytes: model.bytes, ...(source === undefined ? {} : { source }) },
    runtime: toLocked(runtime.recipe, images.runtime),
    code: toLocked(code.recipe, images.code),
    volumes: [...images.volumes],
    previous: earlier.filter((hash) => hash !== itemHash),
  };
}

function toLocked({ key }: ImageRecipe, { sha256, bytes, fileHash, itemHash }: PinnedImage): LockedImage {
  return { key, sha256, bytes, fileHash, itemHash };
}

function zip(recipes: readonly ImageRecipe[], images: readonly PinnedImage[]): readonly LockedImage[] {
  return recipes.flatMap((recipe, index) => {
    const image = images[index];
    return image === undefined ? [] : [toLocked(recipe, image)];
  });
}

/** The local node is its own gateway. */
function publicBase(apiServer: string): string {
  const { hostname } = new URL(apiServer);
  return ["127.0.0.1", "localhost", "[::1]"].includes(hostname) ? apiServer : GATEWAY;
}

/** The compute node on which the program runs now. */
async function start(
  itemHash: ItemHash,
  model: string,
  options: DeployOptions,
  { network }: Operator,
  { out, signal }: CommandContext,
): Promise<string> {
  const startedAt = performance.now();
  const crns = await findCrns(network, options.crn, signal);
  const onWait = (reason: string) => out.emit({ event: "note", message: `${model}: ${reason}` });
  const crn = await warmOnOneOf(crns, itemHash, {
    signal,
    onWait,
    limitMs: options.minutes * 60_000,
    lookMs: options.timeout * 1000,
  });
  const ms = performance.now() - startedAt;
  out.emit({ event: "stage", stage: "compute node", outcome: "started", model, detail: crn, ms });
  return crn;
}

async function ask(
  baseUrl: string,
  model: string,
  { seconds }: DeployOptions,
  { out, signal }: CommandContext,
): Promise<string> {
  const askedAt = performance.now();
  const { text, tokensPerSecond } = await askFirstQuestion(baseUrl, model, {
    signal,
    // The node's own limit, and the way there and back.
    answerMs: (seconds + WAY_SECONDS) * 1000,
    advice: NO_ANSWER,
  });
  out.emit({
    event: "stage",
    stage: "smoke test",
    outcome: "answers",
    model,
    detail: JSON.stringify(text.slice(0, 80)),
    ...(tokensPerSecond === undefined ? {} : { tokensPerSecond }),
    ms: performance.now() - askedAt,
  });
  return text;
}
