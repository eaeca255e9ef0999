import { basename, join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import type { Sha256 } from "../../src/domain/hash.ts";
import type { GgufHeader } from "../../src/gguf/gguf-header.ts";
import { type CatalogueEntry, type HubSource, loadCatalogue } from "../catalogue/catalogue.ts";
import { fetchModel } from "../catalogue/fetch-model.ts";
import { inspectModelFile } from "../catalogue/inspect-model-file.ts";
import { parseModelReference } from "../catalogue/model-reference.ts";
import { proposeResources } from "../catalogue/resources.ts";
import type { Output } from "../commands/output.ts";
import type { CatalogueLine, LocalModel, ModelRequest } from "../commands/parts.ts";

interface Tools {
  readonly env: Readonly<Record<string, string | undefined>>;
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

export function listCatalogue(): readonly CatalogueLine[] {
  return loadCatalogue().entries.map(({ id, bytes, contextLength, licence, source }) => ({
    id,
    bytes,
    contextLength,
    licence,
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
  const { memoryMiB, vcpus, contextLength, slots } = proposeResources(header, request);
  out.emit({
    event: "stage",
    stage: "model",
    outcome: file.outcome,
    bytes,
    sha256,
    model: name,
    ms: performance.now() - startedAt,
  });
  return {
    id: name,
    aliases: file.entry?.servedAliases ?? [],
    path: file.path,
    fileName: toFileName(file.path),
    bytes,
    sha256,
    card: toCard(name, sha256, bytes, header, file),
    contextLength,
    slots,
    resources: { vcpus, memoryMiB },
  };
}

async function findFile(text: string, request: ModelRequest & Tools): Promise<FoundFile> {
  const reference = parseModelReference(text);
  if (reference.kind === "file") {
    return { path: reference.path, entry: undefined, source: undefined, outcome: "checked" };
  }
  if (reference.kind === "hub") return download(reference, undefined, request);
  const entry = loadCatalogue().entry(reference.id);
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
function toModelId(path: string): string {
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
