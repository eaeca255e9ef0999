import { readdirSync, statSync } from "node:fs";
import { totalmem } from "node:os";
import { basename, dirname, join } from "node:path";

import { CodedError } from "../domain/errors.ts";
import type { GgufHeader } from "../gguf/gguf-header.ts";
import {
  describeBudget,
  embeddingBytes,
  inMiB,
  memoryBudget,
  type MemoryUse,
  MIB,
  type ModelShape,
} from "../gguf/memory-budget.ts";

/** What this process may use: the machine's memory, its control group's limit, or what it was told; the least. */
export function availableMemory(memoryMiB: number | undefined): number {
  // Zero, or far more than there is, where no control group limits it.
  const constrained = process.constrainedMemory();
  return Math.min(
    totalmem(),
    constrained > 0 ? constrained : Infinity,
    memoryMiB === undefined ? Infinity : memoryMiB * MIB,
  );
}

/** The header's shape with the size of the whole model: of all its shards, which lie side by side. */
export function wholeModel(header: GgufHeader, path: string): ModelShape {
  if (header.splitCount === undefined || header.splitCount <= 1) return header;
  const stem = basename(path).replace(/-\d{5}-of-\d{5}\.gguf$/, "");
  const shards = readdirSync(dirname(path)).filter((name) => name.startsWith(`${stem}-`) && name.endsWith(".gguf"));
  const bytes = shards.reduce((sum, name) => sum + statSync(join(dirname(path), name)).size, 0);
  return { ...header, requiredFileBytes: bytes };
}

/**
 * Before anything is loaded: a machine without enough memory would kill the process in the middle of an answer.
 * Errors: `config_invalid` with the numbers.
 */
export function requireMemory(model: ModelShape, use: MemoryUse, availableBytes: number): void {
  const budget = memoryBudget(model, use);
  if (budget.processes <= availableBytes) return;
  const { slots, contextLength } = use;
  throw new CodedError(
    "config_invalid",
    `this model with ${slots} × ${contextLength} tokens needs ${describeBudget(budget, "processes")}; ` +
      `there are ${inMiB(availableBytes)} MiB. Give the program more memory, or fewer or shorter slots`,
  );
}

/** Undefined where a further context of one sequence has room; else why it has not. */
export function noRoomForContext(model: ModelShape, use: MemoryUse, availableBytes: number): string | undefined {
  const extra = embeddingBytes(model, use);
  const free = availableBytes - memoryBudget(model, use).processes;
  if (extra <= free) return undefined;
  return `embeddings need ${inMiB(extra)} MiB besides the slots, and ${inMiB(free)} MiB are left. Give the program more memory, or fewer or shorter slots`;
}
