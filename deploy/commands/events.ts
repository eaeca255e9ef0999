import type { ErrorCode } from "../../src/domain/errors.ts";
import type { FileHash, ItemHash, Sha256 } from "../../src/domain/hash.ts";

/** A finished stage of a command: one line each. */
export interface StageEvent {
  readonly event: "stage";
  /** Such as `code volume`. */
  readonly stage: string;
  /** One word: `built`, `cached`, `started`. */
  readonly outcome: string;
  readonly model?: string;
  readonly bytes?: number;
  readonly sha256?: Sha256;
  readonly fileHash?: FileHash;
  readonly itemHash?: ItemHash;
  /** A path, an address, a URL, an answer: what people want to read at the end of the line. */
  readonly detail?: string;
  readonly tokensPerSecond?: number;
  readonly ms?: number;
}

/** How far a stage is. */
export interface ProgressEvent {
  readonly event: "progress";
  readonly stage: string;
  readonly model?: string;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Something worth knowing that stops nothing. */
interface NoteEvent {
  readonly event: "note";
  readonly message: string;
}

export interface ReadyModel {
  readonly model: string;
  /** Of the PROGRAM message. */
  readonly itemHash: ItemHash;
  /** What OpenAI clients call the base URL: ends in `/v1`. */
  readonly baseUrl: string;
  /** A line for a POSIX shell. */
  readonly curl: string;
}

/** Every model answers. */
export interface ReadyEvent {
  readonly event: "ready";
  readonly models: readonly ReadyModel[];
  /** The node's page that lists them. */
  readonly index: string;
  /** False when the command ends right away: `--check`. */
  readonly stays: boolean;
  readonly ms: number;
}

export interface CatalogueEvent {
  readonly event: "model";
  readonly id: string;
  readonly bytes: number;
  readonly contextLength: number;
  readonly licence: string;
  readonly source: string;
}

/** Ended by Ctrl-C or a signal, with nothing left behind. */
interface StoppedEvent {
  readonly event: "stopped";
  readonly exitCode: number;
}

/** The command failed; always the last line. */
export interface ErrorEvent {
  readonly event: "error";
  readonly code: ErrorCode | "bug";
  readonly message: string;
  readonly exitCode: number;
}

export type CommandEvent = StageEvent | NoteEvent | ReadyEvent | CatalogueEvent | StoppedEvent | ErrorEvent;
