import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { CodedError } from "../domain/errors.ts";
import { PINNED_FORMAT, PINNED_HEADER_FILE, PINNED_STATE_FILE } from "../domain/pinned-prefix.ts";
import { readGgufHeader } from "../gguf/gguf-header.ts";
import { cellsFor } from "../gguf/memory-budget.ts";
import { BATCH_TOKENS } from "./batch.ts";
import {
  NODE_LLAMA_CPP_VERSION,
  openNative,
  type Native,
  type NativeContext,
  type NativeModel,
  type Token,
} from "./native.ts";
import { type PinnedHeader, widen } from "./pinned-prefix.ts";
import { PromptBuilder } from "./prompt.ts";
import { pieceLength } from "./prompt-budget.ts";
import { sharedPrefix, TILE } from "./slots.ts";
import { StateFiles } from "./state-files.ts";
import { Vocabulary } from "./vocabulary.ts";

export interface PrefixRequest {
  readonly modelPath: string;
  readonly modelSha256: string;
  readonly systemPrompt: string;
  readonly threads: number;
  /** Where both files go. */
  readonly directory: string;
  /** Compute as every x86-64 processor does, to the last bit, instead of as fast as this one can. Default true. */
  readonly isPortable?: boolean;
}

/** Users' first words, as different as can be: what chats that begin with them share is the system prompt's. */
const OPENINGS = ["Hello", "7 + 8?", "Ünd nun"];

/**
 * Evaluates the beginning that all chats under a system prompt share, and writes it as the two files that a server looks
 * for beside its model. Equal requests give equal bytes, whatever the count of threads. Once in a process.
 * Errors: those of loading a model; `not_supported` where there is nothing to gain, where the model's state is in
 * several caches, and for portable states on other processors than x86-64.
 */
export async function computePrefix(request: PrefixRequest): Promise<PinnedHeader> {
  const { modelPath, threads, directory, isPortable = true } = request;
  const header = readGgufHeader(modelPath);
  const native = await openNative(isPortable ? "portable" : "fastest");
  const model = await native.openModel(modelPath);
  const template = PromptBuilder.templateOf(header.chatTemplate);
  const vocabulary = new Vocabulary(model, header.vocabularySize ?? 0, template);
  const builder = new PromptBuilder(native, model, vocabulary, template, Number.MAX_SAFE_INTEGER);
  const tokens = await prefixOf(builder, request.systemPrompt);
  const cells = cellsFor(tokens.length + 1);
  const open = (sequences: number) =>
    native.openContext(model, { cells: cells * sequences, sequences, threads, batchTokens: BATCH_TOKENS });
  const context = await open(1);
  await evaluate(context, tokens);
  mkdirSync(directory, { recursive: true });
  const path = join(directory, PINNED_STATE_FILE);
  const stateBytes = await context.saveSequenceStateToFile(path, 0, new Uint32Array(0));
  if (statSync(path).size !== stateBytes) throw new CodedError("disk_full", `${path} could not be written as a whole`);
  await context.dispose();
  await requireOneCache(await open(2), path);
  const prefix = describe(request, native, model, tokens, stateBytes);
  writeFileSync(join(directory, PINNED_HEADER_FILE), `${JSON.stringify(prefix)}\n`);
  await model.dispose();
  await native.close();
  return prefix;
}

async function prefixOf(builder: PromptBuilder, systemPrompt: string): Promise<Token[]> {
  const prompts: Token[][] = [];
  for (const content of OPENINGS) {
    const messages = [{ role: "system", content: systemPrompt } as const, { role: "user", content } as const];
    prompts.push(await builder.build({ kind: "chat", messages }, Number.POSITIVE_INFINITY));
  }
  const [first, ...others] = prompts;
  const length = others.reduce((least, other) => Math.min(least, sharedPrefix(first!, other)), first!.length);
  if (length >= TILE) return first!.slice(0, length);
  throw new CodedError(
    "not_supported",
    `chats under this system prompt share ${length} tokens; below ${TILE} they are evaluated as fast as they are read`,
  );
}

/** In pieces as prompts are. */
async function evaluate(context: NativeContext, tokens: readonly Token[]): Promise<void> {
  for (let at = 0; at < tokens.length;) {
    const length = pieceLength(tokens.length - at, BATCH_TOKENS);
    context.initBatch(length);
    context.addToBatch(0, at, Uint32Array.from(tokens.slice(at, at + length)), new Uint32Array(0));
    await context.decodeBatch();
    at += length;
  }
}

/** Only such a state can be brought into contexts of other counts of sequences. */
async function requireOneCache(context: NativeContext, path: string): Promise<void> {
  const files = StateFiles.open();
  if (files === undefined) throw new CodedError("not_supported", "a pinned prefix needs a file system in memory");
  try {
    await context.loadSequenceStateFromFile(widen(path, 2, files), 1, 1);
  } catch (cause) {
    throw new CodedError("not_supported", "this kind of model keeps a state that cannot be shipped", { cause });
  } finally {
    await context.dispose();
  }
}

function describe(
  { modelSha256 }: PrefixRequest,
  native: Native,
  model: NativeModel,
  tokens: readonly Token[],
  stateBytes: number,
): PinnedHeader {
  return {
    format: PINNED_FORMAT,
    modelSha256,
    weightBytes: model.getTotalSize(),
    library: NODE_LLAMA_CPP_VERSION,
    arithmetic: native.arithmetic,
    tokens,
    stateBytes,
  };
}
