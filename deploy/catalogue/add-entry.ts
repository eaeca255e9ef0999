/** Writes entries of the catalogue file: new ones, and what the hub knows of those that are there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { CodedError } from "../../src/domain/errors.ts";
import type { GgufHeader } from "../../src/gguf/gguf-header.ts";
import { writeFileAtomically } from "../files/write-file-atomically.ts";
import { parseCatalogue, shippedDirectory, type HubSource } from "./catalogue.ts";
import type { HubModel } from "./fetch-header.ts";
import { proposeResources } from "./resources.ts";

/** An entry as models.json has it. */
export type WireEntry = Readonly<Record<string, unknown>> & { readonly id: string };

export interface EntryWishes {
  readonly id: string;
  /** In SPDX's spelling; undefined takes the header's. */
  readonly licence: string | undefined;
  readonly publish: boolean;
}

interface CatalogueFile {
  readonly path: string;
  readonly directory: string;
  readonly entries: readonly WireEntry[];
}

/** Errors: `config_invalid`. */
export function readCatalogueFile(directory = shippedDirectory()): CatalogueFile {
  const path = join(directory, "models.json");
  try {
    const { entries } = JSON.parse(readFileSync(path, "utf8")) as { entries: readonly WireEntry[] };
    return { path, directory, entries };
  } catch (error) {
    throw new CodedError("config_invalid", `the catalogue ${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** What the hub and the header say. Errors: `usage` where the licence is not known. */
export function toEntry(source: HubSource, model: HubModel, wishes: EntryWishes): WireEntry {
  const { header, bytes, sha256, commit } = model;
  const licence = wishes.licence ?? spelled(header.licence);
  if (licence === undefined) {
    throw new CodedError(
      "usage",
      `${source.file} does not say its licence; look it up on the hub and give it with --licence`,
    );
  }
  return {
    id: wishes.id,
    aliases: [],
    source: {
      hf: `${source.owner}/${source.repository}`,
      file: source.file,
      ...optional("revision", commit ?? fixed(source.revision)),
    },
    ...optional("sha256", sha256),
    bytes,
    licence,
    contextLength: header.contextLength ?? proposeResources(header).contextLength,
    parameters: header.parameterCount,
    quantization: header.quantization,
    memoryMiB: proposeResources(header).memoryMiB,
    ...(wishes.publish && { publish: true }),
    note: noteOf(header, wishes.id),
  };
}

/** An entry that was there, with what it lacked. Errors: `hash_mismatch` where the hub has another file now. */
export function completeEntry(entry: WireEntry, source: HubSource, model: HubModel): WireEntry {
  const { bytes, sha256, commit, header } = model;
  const isOther = entry["bytes"] !== bytes || (entry["sha256"] !== undefined && entry["sha256"] !== sha256);
  if (entry["sha256"] !== undefined && isOther) {
    throw new CodedError(
      "hash_mismatch",
      `${source.file} on the hub is not the file of the catalogue's ${entry.id}: its revision says which it was`,
    );
  }
  return {
    ...entry,
    source: { ...(entry["source"] as object), ...optional("revision", commit ?? fixed(source.revision)) },
    ...optional("sha256", sha256),
    bytes,
    parameters: header.parameterCount,
    quantization: header.quantization,
    memoryMiB: proposeResources(header).memoryMiB,
  };
}

/**
 * Adds an entry at the end, or puts it in place of the one with its id. The file is checked as a whole before it is
 * written. Errors: `config_invalid`.
 */
export async function writeEntry(file: CatalogueFile, entry: WireEntry): Promise<void> {
  const known = file.entries.some(({ id }) => id === entry.id);
  const entries = known ? file.entries.map((one) => (one.id === entry.id ? entry : one)) : [...file.entries, entry];
  parseCatalogue({ entries }, file.directory);
  await writeFileAtomically(file.path, `${JSON.stringify({ entries }, null, 2)}\n`);
}

/** A branch or a tag may mean another file tomorrow. */
function fixed(revision: string | undefined): string | undefined {
  return revision !== undefined && /^[0-9a-f]{40}$/.test(revision) ? revision : undefined;
}

/** The hub writes licences in lower case. */
function spelled(licence: string | undefined): string | undefined {
  if (licence === undefined || licence === "" || licence === "other") return undefined;
  const known = ["Apache-2.0", "MIT", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0"];
  return known.find((name) => name.toLowerCase() === licence.toLowerCase()) ?? licence;
}

function noteOf({ name, architecture, quantization }: GgufHeader, id: string): string {
  return `${name ?? id}, ${architecture ?? "of an unknown architecture"}, ${quantization}.`;
}

function optional(name: string, value: string | undefined): object {
  return value === undefined ? {} : { [name]: value };
}
