import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import { completeEntry, readCatalogueFile, toEntry, writeEntry, type WireEntry } from "../catalogue/add-entry.ts";
import { loadCatalogue, type HubSource } from "../catalogue/catalogue.ts";
import { fetchHeader } from "../catalogue/fetch-header.ts";
import { parseModelReference } from "../catalogue/model-reference.ts";
import type { AddModelRequest, AddedModel } from "../commands/parts.ts";
import { toModelId } from "./models.ts";

/** Asks the hub for a file's facts and writes them into the catalogue. Only the header is downloaded. */
export async function addModel(
  text: string,
  request: AddModelRequest,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<AddedModel> {
  const file = readCatalogueFile(env["PINFERENCE_CATALOGUE"] || undefined);
  const reference = parseModelReference(text);
  const known = reference.kind === "catalogue" ? loadCatalogue(file.directory).entry(reference.id) : undefined;
  const source = known?.source ?? reference;
  if (source.kind !== "hub") {
    throw new CodedError("usage", `"${text}" is no model of a hub. Write hf:owner/repository/file.gguf.`);
  }
  const directory = join(request.directory, ".headers");
  const model = await fetchHeader(source, { directory, environment: env, signal });
  if ((model.header.splitCount ?? 1) > 1) {
    throw new CodedError("not_supported", `${source.file} is one of ${model.header.splitCount} files; take one file`);
  }
  const entry = known === undefined ? newEntry() : completeEntry(entryOf(known.id), source, model);
  if (!request.dryRun) await writeEntry(file, entry);
  return { path: file.path, entry, isNew: known === undefined, isDeployable: entry["sha256"] !== undefined };

  function newEntry(): WireEntry {
    const id = request.id ?? toModelId((source as HubSource).file);
    if (file.entries.some((one) => one.id === id)) {
      throw new CodedError("usage", `the catalogue has an entry ${id} already; give this one another name with --id`);
    }
    return toEntry(source as HubSource, model, { id, licence: request.licence, publish: request.publish });
  }
  function entryOf(id: string): WireEntry {
    return file.entries.find((one) => one.id === id)!;
  }
}
