import { basename, join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import type { Sha256 } from "../../src/domain/hash.ts";
import type { GgufHeader } from "../../src/gguf/gguf-header.ts";
import { type Catalogue, type CatalogueEntry, type HubSource, loadCatalogue } from "../catalogue/catalogue.ts";
import { fetchHeader, type HubModel } from "../catalogue/fetch-header.ts";
import { fetchModel, isFetched } from "../catalogue/fetch-model.ts";
import { inspectModelFile } from "../catalogue/inspect-model-file.ts";
import { parseModelReference } from "../catalogue/model-reference.ts";
import { explainResources, proposeResources } from "../catalogue/resources.ts";
import type { Output } from "../commands/output.ts";
import type { CatalogueLine, LocalModel, ModelRequest } from "../commands/parts.ts";

interface Tools {
  readonly env: Environment;
  readonly out: Output;
  readonly signal: AbortSignal;
}

/** A model file on this machine, and what is known of it besides its bytes. */
interface FoundFile {
  readonly path: string;
  /** Undefined for a file that only its path names. */
  readonly entry: CatalogueEntry | undefined;
  readonly source: HubSource | undefined;
  readonly outcome: "downloaded" | "cached" | "checked";
}

type Environment = Readonly<Record<string, string | undefined>>;

/** PINFERENCE_CATALOGUE names a directory with a models.json of one's own. Errors: `config_invalid`. */
function loadCatalogueOf(env: Environment): Catalogue {
  return loadCatalogue(env["PINFERENCE_CATALOGUE"] || undefined);
}

export function listCatalogue(env: Environment): readonly CatalogueLine[] {
  return loadCatalogueOf(env).entries.map(({ id, bytes, contextLength, licence, source, publish }) => ({
    id,
    bytes,
    contextLength,
    licence,
    publish,
    source: source.kind === "hub" ? `hf:${source.owner}/${source.repository}/${source.file}` : "shipped",
  }));
}

/** Errors: `usage`, `catalogue_unknown`, `model_file_missing`, `model_file_invalid`, those of `fetchModel`. */
export async function findModel(text: string, request: ModelRequest & Tools): Promise<LocalModel> {
  const startedAt = performance.now();
  const { directory, out, signal } = request;
  const file = await findFile(text, request);
  const name = file.entry?.id ?? toModelId(file.path);
  const { sha256, bytes, header } = await inspectModelFile(file.path, {
    cacheDirectory: directory,
    signal,
    onProgress: (progress) => out.progress({ event: "progress", stage: "checking", model: name, ...progress }),
  });
  requireWhole(header, file.path);
  requireExpected(sha256, file);
  const model = toLocalModel(file, sha256, bytes, header, request);
  out.emit({
    event: "stage",
    stage: "model",
    outcome: file.outcome,
    bytes,
    sha256,
    model: name,
    ms: performance.now() - startedAt,
  });
  return model;
}

function toLocalModel(
  file: FoundFile,
  sha256: Sha256,
  bytes: number,
  header: GgufHeader,
  request: ModelRequest,
): LocalModel {
  const { entry } = file;
  const id = entry?.id ?? toModelId(file.source?.file ?? file.path);
  const wishes = { ...request, leastMemoryMiB: entry?.memoryMiB };
  const proposed = proposeResources(header, wishes);
  const { memoryMiB, vcpus, contextLength, slots } = proposed;
  return {
    id,
    aliases: entry?.servedAliases ?? [],
    path: file.path,
    isWhole: true,
    fileName: toFileName(file.source?.file ?? file.path),
    bytes,
    sha256,
    card: toCard(id, sha256, bytes, header, file),
    ...optional("licence", oneLine(file.entry?.licence ?? header.licence)),
    ...(entry === undefined ? {} : { defaults: entry.defaults }),
    pinnedPrompt: entry?.pinnedPrefix === true ? entry.defaults.systemPrompt : undefined,
    contextLength,
    slots,
    resources: { vcpus, memoryMiB },
    reasons: explainResources(header, wishes, proposed),
  };
}

/**
 * The same, but of a hub's file that is not here only the header is downloaded: `isWhole` is false then, and `path`
 * holds no weights. For publishing: the model's sha256 must be known. Errors: as `findModel`; `config_invalid`.
 */
export async function describeModel(text: string, request: ModelRequest & Tools): Promise<LocalModel> {
  const reference = parseModelReference(text);
  if (reference.kind === "file") return findModel(text, request);
  const entry = reference.kind === "catalogue" ? loadCatalogueOf(request.env).entry(reference.id) : undefined;
  const source = reference.kind === "hub" ? reference : entry?.source;
  if (source?.kind !== "hub") return findModel(text, request);
  if (entry !== undefined && entry.sha256 === undefined) {
    const advice = `run \`pinference model add ${entry.id}\`, which asks the hub and fills it in`;
    throw new CodedError("config_invalid", `the catalogue does not know the sha256 of ${entry.id} yet: ${advice}`);
  }
  const { directory, env, signal } = request;
  if (await isFetched(source, { directory, sha256: entry?.sha256 })) return findModel(text, request);
  const hub = await fetchHeader(source, { directory: join(directory, ".headers"), environment: env, signal });
  const sha256 = entry?.sha256 ?? hub.sha256;
  if (sha256 === undefined) {
    throw new CodedError("config_invalid", `the hub does not tell the sha256 of ${source.file}: it cannot be verified`);
  }
  requireSame(source, entry, hub);
  requireWhole(hub.header, source.file);
  const file: FoundFile = { path: hub.headerPath, entry, source, outcome: "checked" };
  return { ...toLocalModel(file, sha256, hub.bytes, hub.header, request), isWhole: false };
}

/** The hub may have changed the file behind a branch. */
function requireSame(source: HubSource, entry: CatalogueEntry | undefined, hub: HubModel): void {
  const isOther = entry?.sha256 !== undefined && hub.sha256 !== undefined && entry.sha256 !== hub.sha256;
  if (!isOther && (entry === undefined || entry.bytes === hub.bytes)) return;
  const message = `${source.file} on the hub is not the file of the catalogue's ${entry?.id ?? "entry"} any more`;
  throw new CodedError("hash_mismatch", `${message}: fix the entry's revision to the commit that has it`);
}

async function findFile(text: string, request: ModelRequest & Tools): Promise<FoundFile> {
  const reference = parseModelReference(text);
  if (reference.kind === "file") {
    return { path: reference.path, entry: undefined, source: undefined, outcome: "checked" };
  }
  if (reference.kind === "hub") return download(reference, undefined, request);
  const entry = loadCatalogueOf(request.env).entry(reference.id);
  if (entry.source.kind === "hub") return download(entry.source, entry, request);
  return { path: entry.source.path, entry, source: undefined, outcome: "checked" };
}

async function download(
  source: HubSource,
  entry: CatalogueEntry | undefined,
  { directory, env, out, signal }: ModelRequest & Tools,
): Promise<FoundFile> {
  const name = entry?.id ?? toModelId(source.file);
  const { path, downloaded } = await fetchModel(source, {
    modelsDirectory: directory,
    cacheDirectory: directory,
    sha256: entry?.sha256,
    environment: env,
    signal,
    onProgress: (progress) => out.progress({ event: "progress", stage: "downloading", model: name, ...progress }),
  });
  return { path, entry, source, outcome: downloaded ? "downloaded" : "cached" };
}

function requireWhole({ splitCount }: GgufHeader, path: string): void {
  if (splitCount === undefined || splitCount <= 1) return;
  const advice = "models in several files are not supported yet; take a smaller quantization that is one file";
  throw new CodedError("not_supported", `${basename(path)} is one of ${splitCount} files; ${advice}`);
}

/** Downloads were checked on arrival; this is for the file that ships with the project. */
function requireExpected(sha256: Sha256, { entry, path }: FoundFile): void {
  if (entry?.sha256 === undefined || entry.sha256 === sha256) return;
  throw new CodedError("model_file_invalid", `${path} is not the model ${entry.id} any more; restore the file`);
}

/** The header's text is anybody's, and this one becomes a variable of the program. */
function oneLine(text: string | undefined): string | undefined {
  const line = text
    ?.replaceAll(/[\p{C}\s]+/gu, " ")
    .trim()
    .slice(0, 100);
  return line === "" ? undefined : line;
}

/** Public, and part of the volume: nothing of this machine, nothing that differs between two runs. */
function toCard(id: string, sha256: Sha256, bytes: number, header: GgufHeader, { entry, source }: FoundFile): object {
  return {
    id,
    sha256,
    bytes,
    quantization: header.quantization,
    parameters: header.parameterCount,
    ...optional("name", header.name),
    ...optional("architecture", header.architecture),
    ...optional("contextLength", header.contextLength),
    ...optional("licence", entry?.licence ?? header.licence),
    ...optional("source", source && `hf:${source.owner}/${source.repository}/${source.file}`),
    ...optional("revision", source?.revision),
  };
}

function optional(name: string, value: string | number | undefined): object {
  return value === undefined ? {} : { [name]: value };
}

/** The file's name without its ending, in the letters that catalogue ids have. */
export function toModelId(path: string): string {
  const stem = basename(path)
    .replace(/\.gguf$/i, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/g, "");
  return stem === "" ? "model" : stem;
}

/** In the volume and in the message's variables: plain letters only. */
function toFileName(path: string): string {
  return join(
    `${
      basename(path)
        .replace(/\.gguf$/i, "")
        .replaceAll(/[^\w.-]+/g, "-")
        .replace(/^[.-]+/, "") || "model"
    }.gguf`,
  );
}
