/** The curated list of models: models.json, validated, and looked up by id or alias. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";

import { CodedError } from "../../src/domain/errors.ts";
import { parseSha256, type Sha256 } from "../../src/domain/hash.ts";
import {
  MAX_SYSTEM_PROMPT,
  parseSamplingDefaults,
  type ModelDefaults,
  type SamplingDefaults,
} from "../../src/domain/model-defaults.ts";
import { printable } from "../../src/gguf/header-cursor.ts";
import { closest } from "./suggestion.ts";

/** A file beside models.json. It ships with the project. */
interface ShippedSource {
  readonly kind: "shipped";
  readonly path: string;
}

/** A file of a hub repository. Without a revision, the hub's newest. */
export interface HubSource {
  readonly kind: "hub";
  readonly owner: string;
  readonly repository: string;
  readonly file: string;
  readonly revision: string | undefined;
}

export interface CatalogueEntry {
  readonly id: string;
  /** Further names on the command line. No two entries share one. */
  readonly aliases: readonly string[];
  /** Further names its endpoint answers to. These may be the id of another entry, and are not looked up. */
  readonly servedAliases: readonly string[];
  readonly source: ShippedSource | HubSource;
  /** Where undefined, the hub's own metadata decide. */
  readonly sha256: Sha256 | undefined;
  readonly bytes: number;
  readonly licence: string;
  readonly contextLength: number;
  /** Count of weights. */
  readonly parameters: number | undefined;
  readonly quantization: string;
  /** What a program gets at least: one slot of at most 4096 tokens takes it, by the formula of resources.ts. */
  readonly memoryMiB: number;
  /** What requests get that leave it out. */
  readonly defaults: ModelDefaults;
  /** Whether the evaluated state of its system prompt ships in the model volume. */
  readonly pinnedPrefix?: boolean | undefined;
  /** Whether `pinference deploy` without a model's name publishes it. */
  readonly publish: boolean;
  readonly note: string;
}

export interface Catalogue {
  readonly entries: readonly CatalogueEntry[];
  /** Errors: `catalogue_unknown`, with the name that was probably meant. */
  entry(idOrAlias: string): CatalogueEntry;
}

const name = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, "lower case letters, digits, and . _ - inside");
const relativePath = z
  .string()
  .regex(/^(?:[\w-][\w.-]*\/)*[\w-][\w.-]*\.gguf$/, "a relative path without .. that ends in .gguf");
const sampling = z.unknown().transform((value, check): SamplingDefaults => {
  try {
    return parseSamplingDefaults(value);
  } catch (error) {
    check.addIssue((error as Error).message);
    return z.NEVER;
  }
});
const modelsFile = z.strictObject({
  entries: z
    .array(
      z
        .strictObject({
          id: name,
          aliases: z.array(name),
          servedAliases: z.array(name).optional(),
          source: z.union([
            z.strictObject({ file: relativePath }),
            z.strictObject({
              hf: z.string().regex(/^[\w-][\w.-]*\/[\w-][\w.-]*$/, "owner/repository"),
              file: relativePath,
              revision: z
                .string()
                .regex(/^[0-9a-f]{40}$/, "a commit, 40 hexadecimal digits")
                .optional(),
            }),
          ]),
          sha256: z
            .string()
            .regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits")
            .optional(),
          bytes: z.int().positive(),
          licence: z.string().min(1),
          contextLength: z.int().positive(),
          parameters: z.int().positive().optional(),
          quantization: z.string().min(1),
          memoryMiB: z.int().positive().multipleOf(256),
          sampling: sampling.optional(),
          systemPrompt: z.string().trim().min(1).max(MAX_SYSTEM_PROMPT).optional(),
          pinnedPrefix: z.boolean().optional(),
          publish: z.boolean().optional(),
          note: z.string().min(1),
        })
        .refine(
          ({ pinnedPrefix, systemPrompt }) => pinnedPrefix !== true || systemPrompt !== undefined,
          "pinnedPrefix needs a systemPrompt",
        ),
    )
    .min(1),
});

/** Reads the catalogue that ships with the project. Errors: `config_invalid`. */
export function loadCatalogue(directory = shippedDirectory()): Catalogue {
  const path = join(directory, "models.json");
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new CodedError("config_invalid", `the catalogue ${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return parseCatalogue(content, directory);
}

/** `directory` is where shipped files lie. Errors: `config_invalid`, which names the member at fault. */
export function parseCatalogue(content: unknown, directory: string): Catalogue {
  const parsed = modelsFile.safeParse(content);
  if (!parsed.success) {
    throw new CodedError("config_invalid", `the catalogue is not valid:\n${z.prettifyError(parsed.error)}`);
  }
  const entries = parsed.data.entries.map(({ sampling: given = {}, systemPrompt, ...entry }): CatalogueEntry => {
    const { source } = entry;
    const [owner = "", repository = ""] = "hf" in source ? source.hf.split("/") : [];
    return {
      ...entry,
      servedAliases: entry.servedAliases ?? [],
      source:
        "hf" in source
          ? { kind: "hub", owner, repository, file: source.file, revision: source.revision }
          : { kind: "shipped", path: join(directory, source.file) },
      sha256: entry.sha256 === undefined ? undefined : parseSha256(entry.sha256),
      parameters: entry.parameters,
      defaults: { sampling: given, ...(systemPrompt === undefined ? {} : { systemPrompt }) },
      publish: entry.publish ?? false,
    };
  });
  const byName = indexByName(entries);
  return {
    entries,
    entry(idOrAlias) {
      const found = byName.get(idOrAlias.toLowerCase());
      if (found !== undefined) return found;
      const meant = closest(idOrAlias.toLowerCase(), [...byName.keys()]);
      throw new CodedError(
        "catalogue_unknown",
        `the catalogue has no model "${printable(idOrAlias)}". ` +
          (meant === undefined
            ? `It has: ${entries.map((entry) => entry.id).join(", ")}.`
            : `Did you mean "${meant}"?`) +
          " Any other model can be named by its file (./model.gguf) or by hf:owner/repository/file.gguf.",
      );
    },
  };
}

function indexByName(entries: readonly CatalogueEntry[]): ReadonlyMap<string, CatalogueEntry> {
  const byName = new Map<string, CatalogueEntry>();
  for (const entry of entries) {
    for (const nameOfEntry of [entry.id, ...entry.aliases]) {
      if (byName.has(nameOfEntry)) {
        throw new CodedError("config_invalid", `the catalogue is not valid: the name "${nameOfEntry}" is there twice`);
      }
      byName.set(nameOfEntry, entry);
    }
  }
  return byName;
}

/** The compiled program lies below dist/, the catalogue and its model only in the package's own deploy/. */
export function shippedDirectory(): string {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(root, "package.json")) && dirname(root) !== root) root = dirname(root);
  return join(root, "deploy", "catalogue");
}
