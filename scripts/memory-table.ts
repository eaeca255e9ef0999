import { loadCatalogue } from "../deploy/catalogue/catalogue.ts";
import { longestContext, MIB, type ModelShape } from "../src/gguf/memory-budget.ts";

const SIZES_GIB = [1, 2, 4, 6];

/** Of the catalogue's models, from their own configuration files: layers, heads of keys, numbers of one, width, tokens. */
const SHAPES: Readonly<Record<string, readonly [number, number, number, number, number]>> = {
  "qwen2.5-0.5b-instruct": [24, 2, 64, 896, 151_936],
  "qwen3-0.6b": [28, 8, 128, 1024, 151_936],
  "qwen2.5-1.5b-instruct": [28, 2, 128, 1536, 151_936],
  "smollm2-1.7b-instruct": [24, 32, 64, 2048, 49_152],
  "smollm3-3b": [36, 4, 128, 2048, 128_256],
  "openhermes-2.5": [32, 8, 128, 4096, 32_002],
};

/** What fits: the longest context of each slot, with four slots where they have 1,024 tokens at least. */
export function memoryTable(): string {
  const catalogue = loadCatalogue();
  const rows = Object.entries(SHAPES).map(
    ([id, [blockCount, kvHeads, headLength, embeddingLength, vocabularySize]]) => {
      const { bytes, contextLength } = catalogue.entry(id);
      const model: ModelShape = {
        requiredFileBytes: bytes,
        // No part of what memory it takes.
        parameterCount: 0,
        contextLength,
        blockCount,
        embeddingLength,
        kvHeadsOfAllLayers: blockCount * kvHeads,
        keyLength: headLength,
        valueLength: headLength,
        vocabularySize,
      };
      const cells = SIZES_GIB.map((gib) => whatFits(model, gib * 1024 * MIB));
      return `| \`${id}\` | ${Math.ceil(bytes / MIB).toLocaleString("en-US")} MiB | ${cells.join(" | ")} |`;
    },
  );
  return [
    `| model | file | ${SIZES_GIB.map((gib) => `${gib} GiB`).join(" | ")} |`,
    `| - | -: | ${SIZES_GIB.map(() => "-:").join(" | ")} |`,
    ...rows,
    "",
  ].join("\n");
}

function whatFits(model: ModelShape, memoryBytes: number): string {
  const four = longestContext(model, 4, memoryBytes);
  if (four >= 1024) return `4 × ${four.toLocaleString("en-US")}`;
  const one = longestContext(model, 1, memoryBytes);
  return one >= 256 ? `1 × ${one.toLocaleString("en-US")}` : "–";
}
