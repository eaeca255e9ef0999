/**
 * The evaluated beginning of every chat under a model's own system prompt, shipped beside the model, so that the first
 * request after a start finds it (docs/decisions/0020-pinned-prefix.md). Two files: what it is, and the state itself in
 * the library's form for a context of one sequence.
 */
import { closeSync, openSync, readFileSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";

import { PINNED_FORMAT, PINNED_HEADER_FILE, PINNED_STATE_FILE } from "../domain/pinned-prefix.ts";
import { NODE_LLAMA_CPP_VERSION, type Token } from "./native.ts";
import type { IdlePrefixes } from "./idle-prefixes.ts";
import { TILE } from "./slots.ts";
import type { StateFiles } from "./state-files.ts";

/** A state file's head: magic number, version and a count of tokens, which is 0 here; then the count of sequences. */
const HEAD_BYTES = 16;
const COPY_BYTES = 1024 * 1024;
/** A header is a list of at most a context's tokens. */
const MOST_HEADER_BYTES = 8 * COPY_BYTES;

export interface PinnedHeader {
  readonly format: typeof PINNED_FORMAT;
  /** Of the whole model file. */
  readonly modelSha256: string;
  /** The weights' sizes, summed up: the same for a model in one file and in shards. */
  readonly weightBytes: number;
  /** node-llama-cpp's version: states are of its form. */
  readonly library: string;
  /** llama.cpp's name of the instructions that it was computed with. */
  readonly arithmetic: string;
  readonly tokens: readonly Token[];
  readonly stateBytes: number;
}

export interface PinnedPrefixPlace {
  /** The directory of the model file. */
  readonly directory: string;
  readonly slots: number;
  readonly contextLength: number;
  readonly weightBytes: number;
  readonly vocabularySize: number;
  /** Of this process. */
  readonly arithmetic: string;
  /** Reuse only what evaluation would give to the last bit. */
  readonly isExact: boolean;
}

/** The header beside a model; undefined where none ships. Errors: a sentence why it does not fit. */
function readPinnedHeader(place: PinnedPrefixPlace): PinnedHeader | undefined {
  const path = join(place.directory, PINNED_HEADER_FILE);
  const bytes = statSync(path, { throwIfNoEntry: false })?.size;
  if (bytes === undefined) return undefined;
  if (bytes > MOST_HEADER_BYTES) throw new Error(`${PINNED_HEADER_FILE} has ${bytes} bytes`);
  const header = parseHeader(JSON.parse(readFileSync(path, "utf8")));
  const { library, weightBytes, arithmetic, tokens, stateBytes } = header;
  const needs = (fits: boolean, reason: string) => {
    if (!fits) throw new Error(reason);
  };
  needs(library === NODE_LLAMA_CPP_VERSION, `it is of node-llama-cpp ${library}, not ${NODE_LLAMA_CPP_VERSION}`);
  needs(weightBytes === place.weightBytes, "it is of another model");
  needs(tokens.length >= TILE && tokens.length < place.contextLength, `its ${tokens.length} tokens do not fit a slot`);
  needs(
    tokens.every((token) => token < place.vocabularySize),
    "its tokens are not the model's",
  );
  needs(statSync(join(place.directory, PINNED_STATE_FILE)).size === stateBytes, "its state has another size");
  needs(
    !place.isExact || arithmetic === place.arithmetic,
    "this processor computes such a small model with other roundings",
  );
  return header;
}

function parseHeader(value: unknown): PinnedHeader {
  const header = value as PinnedHeader | null;
  const isWhole = (number: unknown) => Number.isSafeInteger(number) && (number as number) >= 0;
  if (header?.format !== PINNED_FORMAT) throw new Error(`it is not of format ${PINNED_FORMAT}`);
  const isSound =
    typeof header.library === "string" &&
    typeof header.arithmetic === "string" &&
    isWhole(header.weightBytes) &&
    isWhole(header.stateBytes) &&
    Array.isArray(header.tokens) &&
    header.tokens.every(isWhole);
  if (!isSound) throw new Error(`${PINNED_HEADER_FILE} is malformed`);
  return header;
}

/**
 * Pins what ships beside the model. Returns the count of its tokens, 0 where nothing ships.
 * Errors: a sentence why what ships does not fit.
 */
export function pinShippedPrefix(idle: IdlePrefixes, files: StateFiles, place: PinnedPrefixPlace): number {
  const header = readPinnedHeader(place);
  if (header === undefined) return 0;
  const { tokens, stateBytes } = header;
  const shipped = join(place.directory, PINNED_STATE_FILE);
  const fits = place.slots === 1;
  const path = fits ? shipped : widen(shipped, place.slots, files);
  idle.pin({ tokens, tiled: tokens.length, untiled: 0 }, path, stateBytes, fits ? 0 : stateBytes);
  return tokens.length;
}

/**
 * A copy in memory for a context of so many sequences: the library wants their count, and for each of them a count of
 * cells, of which one is not 0. It stays until the process ends. Errors: a state of several caches, the system's own.
 */
export function widen(source: string, sequences: number, files: StateFiles): string {
  const copy = files.create();
  const from = openSync(source, "r");
  const to = openSync(copy.path, "w");
  try {
    const piece = Buffer.alloc(COPY_BYTES);
    for (let at = 0, read = 0; (read = readSync(from, piece, 0, piece.length, at)) > 0; at += read) {
      if (at === 0) {
        if (read < HEAD_BYTES || piece.readUInt32LE(8) !== 0 || piece.readUInt32LE(12) !== 1) {
          throw new Error("its state is not of one sequence");
        }
        piece.writeUInt32LE(sequences, 12);
      }
      for (let done = 0; done < read;) done += writeSync(to, piece, done, read - done);
    }
    writeSync(to, Buffer.alloc(4 * (sequences - 1)));
    return copy.path;
  } catch (error) {
    copy.close();
    throw error;
  } finally {
    closeSync(from);
    closeSync(to);
  }
}
