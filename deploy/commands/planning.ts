/** The plan of several models: which, what each needs, and what it all costs. */
import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256, type Sha256 } from "../../src/domain/hash.ts";
import { planModel, type PlannedImage, type PlannedModel, type PlanRequest } from "../stages/plan-model.ts";
import type { CommandContext } from "./command.ts";
import type { Cost, PlanEvent } from "./events.ts";
import { NETWORK_OPTIONS, type NetworkOptions, type Operator } from "./operator.ts";
import type { ModelRequest } from "./parts.ts";

const CREDITS_OF_A_DOLLAR = 1_000_000;
const DAYS_OF_A_MONTH = 30;
const MIB = 1_048_576;

export const PLAN_OPTIONS = {
  ...NETWORK_OPTIONS,
  "context-length": {
    type: "integer",
    value: "TOKENS",
    min: 16,
    max: 16_777_216,
    help: "tokens of one conversation (default: by the model)",
  },
  slots: { type: "integer", value: "N", min: 1, max: 64, default: 1, help: "requests answered at the same time" },
  memory: {
    type: "integer",
    value: "MIB",
    min: 64,
    max: 1_048_576,
    help: "memory of a program (default: what the model needs)",
  },
  vcpus: { type: "integer", value: "N", min: 1, max: 256, help: "processors of a program (default: by the model)" },
  seconds: {
    type: "integer",
    value: "S",
    min: 1,
    max: 315_360_000,
    default: 290,
    help: "longest time for one request; proxies of the network cut at 300",
  },
  "api-key-sha256": {
    type: "string",
    value: "HASHES",
    help: "answer only who has a key of one of these sha256, separated by commas; keys themselves would be public",
  },
  "volume-mib": {
    type: "integer",
    value: "MIB",
    min: 1,
    max: 4032,
    default: 4032,
    help: "largest volume; a larger model becomes several, in llama.cpp's shards",
  },
  "upload-mbit": {
    type: "integer",
    value: "N",
    min: 1,
    max: 100_000,
    default: 20,
    help: "megabits a second that this machine uploads, to tell the minutes",
  },
} as const;

export interface PlanOptions extends NetworkOptions {
  readonly "context-length": number | undefined;
  readonly slots: number;
  readonly memory: number | undefined;
  readonly vcpus: number | undefined;
  readonly seconds: number;
  readonly "api-key-sha256": string | undefined;
  readonly "volume-mib": number;
  readonly "upload-mbit": number;
}

export interface Planned {
  readonly event: PlanEvent;
  readonly models: readonly (PlannedModel & { readonly reference: string; readonly request: PlanRequest })[];
}

/** Errors: those of the catalogue, the hub, the network. */
export async function makePlan(
  references: readonly string[],
  options: PlanOptions,
  operator: Operator,
  context: CommandContext,
): Promise<Planned> {
  const { parts, out, signal } = context;
  const { network, index, lockfile, directory } = operator;
  const tools = { index, network, buildDirectory: directory.build, out, signal };
  const wanted = references.length > 0 ? references : await defaultModels(operator, context);
  const shared = { runtime: await parts.runtime("vm", directory.packages), code: await parts.codeVolume() };
  const models: Planned["models"][number][] = [];
  for (const reference of new Set(wanted)) {
    const model = await parts.describeModel(reference, modelRequest(options, directory.models), out, signal);
    const recipes = { ...shared, volumes: await parts.modelVolumes(model, options["volume-mib"] * MIB) };
    const request = {
      resources: {
        vcpus: options.vcpus ?? model.resources.vcpus,
        memoryMiB: model.resources.memoryMiB,
        seconds: options.seconds,
      },
      apiKeyHashes: apiKeyHashes(options),
      locked: lockfile.models.get(model.id),
    };
    models.push({ ...(await planModel(model, recipes, request, tools)), reference, request });
  }
  return { models, event: await toEvent(models, references, options, operator, context) };
}

/** What the catalogue says shall be published, and what the lockfile says is. */
async function defaultModels({ lockfile }: Operator, { parts }: CommandContext): Promise<readonly string[]> {
  const lines = await parts.catalogue();
  const ids = lines.filter(({ id, publish }) => publish || lockfile.models.has(id)).map(({ id }) => id);
  if (ids.length > 0) return ids;
  throw new CodedError(
    "usage",
    'nothing is published yet, and no entry of the catalogue says "publish": name a model, as in `pinference plan demo`',
  );
}

export function modelRequest(options: PlanOptions, directory: string): ModelRequest {
  return {
    directory,
    contextLength: options["context-length"],
    slots: options.slots,
    memoryMiB: options.memory,
  };
}

/** Errors: `usage`; the value is not repeated, for it may be a key. */
function apiKeyHashes(options: PlanOptions): readonly Sha256[] {
  const texts = (options["api-key-sha256"] ?? "").split(",").map((text) => text.trim().toLowerCase());
  try {
    return texts.filter((text) => text !== "").map((text) => parseSha256(text));
  } catch {
    const advice = "make one with: printf %s KEY | sha256sum";
    throw new CodedError("usage", `--api-key-sha256 takes sha256 hashes of 64 hexadecimal digits, not keys; ${advice}`);
  }
}

async function toEvent(
  models: Planned["models"],
  references: readonly string[],
  options: PlanOptions,
  { network, lockfile }: Operator,
  { signal }: CommandContext,
): Promise<PlanEvent> {
  const images = new Map<string, PlannedImage>();
  for (const { runtime, code, volumes } of models) {
    for (const image of [runtime, code, ...volumes]) images.set(image.recipe.key, image);
  }
  const uploads = [...images.values()].filter(({ action }) => action === "upload");
  const uploadBytes = sum(uploads.map(({ bytes }) => bytes));
  const programs = sum(models.map(({ creditsPerHour }) => creditsPerHour));
  const files = sum([...images.values()].map(({ creditsPerHour }) => creditsPerHour));
  const newPrograms = models.filter(({ published }) => published === undefined);
  const added =
    sum(newPrograms.map(({ creditsPerHour }) => creditsPerHour)) + sum(uploads.map((one) => one.creditsPerHour));
  const credits = await network.credits(signal);
  const running = await network.runningCost(signal);
  const requiredCredits = Math.ceil(24 * (running + added));
  const isSubset = references.length > 0;
  const ids = new Set(models.map(({ model }) => model.id));
  return {
    event: "plan",
    apiServer: network.apiServer,
    owner: network.owner,
    todo: uploads.length > 0 || newPrograms.length > 0,
    models: models.map(({ model, runtime, code, volumes, published, why, creditsPerHour, request }) => ({
      model: model.id,
      action: published === undefined ? "publish" : "keep",
      why,
      ...(published === undefined ? {} : { itemHash: published }),
      images: [runtime, code, ...volumes].map((image) => ({
        stage: image.recipe.stage,
        action: image.action,
        bytes: image.bytes,
        why: image.why,
      })),
      previous: previousOf(published, request.locked),
      creditsPerHour,
      vcpus: request.resources.vcpus,
      memoryMiB: request.resources.memoryMiB,
    })),
    unwanted: isSubset
      ? []
      : [...lockfile.models].filter(([id]) => !ids.has(id)).map(([model, { itemHash }]) => ({ model, itemHash })),
    uploadBytes,
    uploadMinutes: round((uploadBytes * 8) / (options["upload-mbit"] * 1e6) / 60, 1),
    cost: toCost(programs + files),
    balance: {
      credits,
      runningCreditsPerHour: Math.round(running),
      requiredCredits,
      isEnough: credits >= requiredCredits,
      daysLeft: running + added > 0 ? round(credits / (running + added) / 24, 1) : undefined,
    },
  };
}

/** Earlier programs, and the one that this plan would replace. */
function previousOf(published: string | undefined, locked: PlanRequest["locked"]) {
  if (locked === undefined) return [];
  return locked.itemHash === published ? locked.previous : [...locked.previous, locked.itemHash];
}

export function toCost(creditsPerHour: number): Cost {
  const dollars = (credits: number) => round(credits / CREDITS_OF_A_DOLLAR, 4);
  const [perDay, perMonth] = [creditsPerHour * 24, creditsPerHour * 24 * DAYS_OF_A_MONTH];
  return {
    creditsPerHour: Math.round(creditsPerHour),
    creditsPerDay: Math.round(perDay),
    creditsPerMonth: Math.round(perMonth),
    dollarsPerHour: dollars(creditsPerHour),
    dollarsPerDay: dollars(perDay),
    dollarsPerMonth: dollars(perMonth),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function round(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
