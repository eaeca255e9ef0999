import type { ErrorCode } from "../../src/domain/errors.ts";
import type { FileHash, ItemHash, Sha256 } from "../../src/domain/hash.ts";
import type { CrnState } from "../stages/warm.ts";

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

/** Of one image that a program needs. */
export interface PlannedImageLine {
  readonly stage: string;
  readonly action: "keep" | "upload";
  readonly bytes: number;
  readonly why: string;
}

export interface PlannedModelLine {
  readonly model: string;
  readonly action: "keep" | "publish";
  readonly why: string;
  /** Of the program that is published already. */
  readonly itemHash?: ItemHash;
  readonly images: readonly PlannedImageLine[];
  /** Earlier programs that still cost; `forget --previous` ends them. */
  readonly previous: readonly ItemHash[];
  /** Of the program and its volumes, without the files themselves. */
  readonly creditsPerHour: number;
  readonly vcpus: number;
  readonly memoryMiB: number;
}

/** 1,000,000 credits are one dollar. */
export interface Cost {
  readonly creditsPerHour: number;
  readonly creditsPerDay: number;
  readonly creditsPerMonth: number;
  readonly dollarsPerHour: number;
  readonly dollarsPerDay: number;
  readonly dollarsPerMonth: number;
}

/** What `deploy` would do. */
export interface PlanEvent {
  readonly event: "plan";
  readonly apiServer: string;
  readonly owner: string;
  /** Whether anything would be uploaded or published. */
  readonly todo: boolean;
  readonly models: readonly PlannedModelLine[];
  /** Published, and not wanted any more: for `forget`. */
  readonly unwanted: readonly { readonly model: string; readonly itemHash: ItemHash }[];
  readonly uploadBytes: number;
  readonly uploadMinutes: number;
  /** Of all these models, their files included. */
  readonly cost: Cost;
  readonly balance: {
    readonly credits: number;
    /** What runs already, of this owner. */
    readonly runningCreditsPerHour: number;
    /** A day of everything: less, and the network refuses. */
    readonly requiredCredits: number;
    readonly isEnough: boolean;
    /** Undefined where nothing costs. */
    readonly daysLeft: number | undefined;
  };
}

/** A model is published and has answered. */
export interface DeployedEvent {
  readonly event: "deployed";
  readonly model: string;
  readonly itemHash: ItemHash;
  /** What OpenAI clients call the base URL. */
  readonly baseUrl: string;
  readonly answer: string | undefined;
  readonly cost: Cost;
  readonly curl: string;
}

/** Of `verify`: one claim, and what was seen. */
export interface FindingEvent {
  readonly event: "finding";
  readonly link: string;
  readonly ok: boolean;
  readonly evidence: string;
}

interface VerifiedEvent {
  readonly event: "verified";
  readonly itemHash: ItemHash;
  readonly ok: boolean;
  /** Whether the images were built again. */
  readonly isDeep: boolean;
}

/** An entry of the catalogue was written, or would be. */
export interface AddedEvent {
  readonly event: "added";
  readonly path: string;
  readonly entry: Readonly<Record<string, unknown>>;
  readonly isNew: boolean;
  readonly isDeployable: boolean;
  readonly dryRun: boolean;
}

/** One answer of a chat. */
export interface AnswerEvent {
  readonly event: "answer";
  readonly text: string;
  readonly thinking: string;
  readonly tokens: number | undefined;
  readonly ms: number;
}

/** What so many clients saw of an endpoint at once. Medians over their requests. */
export interface BenchEvent {
  readonly event: "bench";
  readonly clients: number;
  readonly requests: number;
  readonly failed: number;
  /** From the request to the first text. */
  readonly firstTokenMs: number;
  /** Of one client, after its first token; undefined where the host sends answers whole. */
  readonly tokensPerSecond: number | undefined;
  /** Of all clients together, waiting included. */
  readonly totalTokensPerSecond: number;
}

export interface StatusEvent {
  readonly event: "status";
  readonly model: string;
  readonly itemHash: ItemHash;
  /** What the network says of the PROGRAM message, and of its STORE messages: runtime, code, then volumes. */
  readonly program: string;
  readonly files: readonly string[];
  readonly bytes: number;
  /** Of these files the network keeps the message only: the bytes are gone. */
  readonly lost: readonly string[];
  readonly publishedAt: string;
  readonly nodes: readonly CrnState[];
  /** Of the program; undefined where the network does not have it. */
  readonly creditsPerHour: number | undefined;
  /** Of the owner, for everything that runs; undefined where nothing costs. */
  readonly daysLeft: number | undefined;
  readonly url: string;
}

export interface CreditsEvent {
  readonly event: "credits";
  readonly owner: string;
  readonly credits: number;
  readonly creditsPerHour: number;
  readonly daysLeft: number | undefined;
}

export interface ForgottenEvent {
  readonly event: "forgotten";
  readonly model: string;
  readonly programs: number;
  readonly filesKept: number;
  /** What is not paid any more. */
  readonly freed: Cost;
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

export type CommandEvent =
  | StatusEvent
  | CreditsEvent
  | ForgottenEvent
  | FindingEvent
  | VerifiedEvent
  | AddedEvent
  | AnswerEvent
  | BenchEvent
  | PlanEvent
  | DeployedEvent
  | StageEvent
  | NoteEvent
  | ReadyEvent
  | CatalogueEvent
  | StoppedEvent
  | ErrorEvent;
