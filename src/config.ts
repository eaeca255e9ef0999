import { availableParallelism } from "node:os";
import { basename, join } from "node:path";

import { CodedError } from "./domain/errors.ts";
import { parseSha256, type Sha256 } from "./domain/hash.ts";
import { MAX_SYSTEM_PROMPT, parseSamplingDefaults, type ModelDefaults } from "./domain/model-defaults.ts";
import type { ProgramFacts } from "./domain/model.ts";

export interface Config {
  readonly listen: { readonly socket: string } | { readonly host: string; readonly port: number };
  /** On this machine: PINFERENCE_ROOT and the guest's path joined. */
  readonly modelPath: string;
  readonly modelId: string;
  readonly modelAliases: readonly string[];
  /** Tokens of one sequence; undefined leaves it to the model and the memory. */
  readonly contextLength: number | undefined;
  /** Requests that run at once. */
  readonly slots: number;
  /** Requests that may wait for a slot. */
  readonly queueLength: number;
  readonly threads: number;
  /** What the process may use; undefined takes what the machine or its control group has. */
  readonly memoryMiB: number | undefined;
  /** For states of conversations without a slot; undefined takes a part of what the model leaves. */
  readonly idlePrefixMiB: number | undefined;
  /** Which interface of node-llama-cpp inference runs on. */
  readonly bindings: "addon" | "public";
  readonly apiKeyHashes: readonly Sha256[];
  /** Whether every model name means the served model. */
  readonly anyModel: boolean;
  readonly bodyLimitBytes: number;
  /** How long a request waits for the model to load. */
  readonly loadWaitMs: number;
  /** How long running requests may go on after SIGTERM. */
  readonly drainMs: number;
  readonly corsOrigin: string;
  readonly facts: ProgramFacts;
  /** What requests get that leave it out. */
  readonly defaults: ModelDefaults;
  /** Whether to end when standard input does, which the process that started this one holds open. */
  readonly exitWithParent: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** An empty variable is the same as none. Errors: `config_invalid`, naming the variable. */
export function readConfig(env: Environment): Config {
  const model = text(env, "PINFERENCE_MODEL");
  if (model === undefined) throw invalid("PINFERENCE_MODEL", "is required: the path of the model's GGUF file");
  const socket = text(env, "PINFERENCE_SOCKET");
  return {
    listen:
      socket === undefined
        ? {
            host: text(env, "PINFERENCE_HOST") ?? "127.0.0.1",
            port: integer(env, "PINFERENCE_PORT", { least: 0, most: 65_535 }) ?? 8080,
          }
        : { socket },
    modelPath: join(text(env, "PINFERENCE_ROOT") ?? "/", model),
    modelId: text(env, "PINFERENCE_MODEL_ID") ?? basename(model, ".gguf").toLowerCase(),
    modelAliases: list(env, "PINFERENCE_MODEL_ALIASES"),
    contextLength: integer(env, "PINFERENCE_CONTEXT_LENGTH", { least: 16, most: 16_777_216 }),
    slots: integer(env, "PINFERENCE_SLOTS", { least: 1, most: 64 }) ?? 4,
    queueLength: integer(env, "PINFERENCE_QUEUE_LENGTH", { least: 0, most: 10_000 }) ?? 64,
    threads: integer(env, "PINFERENCE_THREADS", { least: 1, most: 512 }) ?? availableParallelism(),
    memoryMiB: integer(env, "PINFERENCE_MEMORY_MIB", { least: 1, most: 1_048_576 * 64 }),
    idlePrefixMiB: integer(env, "PINFERENCE_IDLE_PREFIX_MIB", { least: 0, most: 1_048_576 }),
    bindings: bindings(env, "PINFERENCE_BINDINGS"),
    apiKeyHashes: list(env, "PINFERENCE_API_KEY_SHA256").map((hash) => keyHash(hash)),
    anyModel: flag(env, "PINFERENCE_ANY_MODEL"),
    bodyLimitBytes: (integer(env, "PINFERENCE_BODY_LIMIT_MIB", { least: 1, most: 1024 }) ?? 16) * 1024 * 1024,
    loadWaitMs: integer(env, "PINFERENCE_LOAD_WAIT_MS", { least: 0, most: 3_600_000 }) ?? 25_000,
    drainMs: integer(env, "PINFERENCE_DRAIN_MS", { least: 0, most: 3_600_000 }) ?? 10_000,
    corsOrigin: origin(env, "PINFERENCE_CORS_ORIGIN") ?? "*",
    facts: facts(env),
    defaults: defaults(env),
    exitWithParent: flag(env, "PINFERENCE_EXIT_WITH_PARENT"),
  };
}

function facts(env: Environment): ProgramFacts {
  const licence = text(env, "PINFERENCE_MODEL_LICENCE");
  const [codeSha256] = hashes(env, "PINFERENCE_CODE_SHA256");
  return {
    ...(licence === undefined ? {} : { licence }),
    ...(codeSha256 === undefined ? {} : { codeSha256 }),
    modelSha256: hashes(env, "PINFERENCE_MODEL_SHA256"),
  };
}

function defaults(env: Environment): ModelDefaults {
  const systemPrompt = text(env, "PINFERENCE_SYSTEM_PROMPT");
  if (systemPrompt !== undefined && systemPrompt.length > MAX_SYSTEM_PROMPT) {
    throw invalid("PINFERENCE_SYSTEM_PROMPT", `must have at most ${MAX_SYSTEM_PROMPT} characters`);
  }
  return { sampling: sampling(env, "PINFERENCE_SAMPLING"), ...(systemPrompt === undefined ? {} : { systemPrompt }) };
}

function sampling(env: Environment, name: string): ModelDefaults["sampling"] {
  const json = text(env, name);
  if (json === undefined) return {};
  try {
    return parseSamplingDefaults(JSON.parse(json));
  } catch (error) {
    throw invalid(name, `cannot be read: ${(error as Error).message}`);
  }
}

function hashes(env: Environment, name: string): Sha256[] {
  try {
    return list(env, name).map((hash) => parseSha256(hash));
  } catch {
    throw invalid(name, "must hold sha256 hashes of 64 lowercase hexadecimal digits, separated by commas");
  }
}

function text(env: Environment, name: string): string | undefined {
  const value = env[name]?.trim();
  return value === "" ? undefined : value;
}

function list(env: Environment, name: string): string[] {
  return (text(env, name) ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function integer(env: Environment, name: string, range: { least: number; most: number }): number | undefined {
  const value = text(env, name);
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^-?\d+$/.test(value) || number < range.least || number > range.most) {
    throw invalid(name, `must be an integer between ${range.least} and ${range.most}, not "${value.slice(0, 100)}"`);
  }
  return number;
}

function flag(env: Environment, name: string): boolean {
  const value = text(env, name) ?? "0";
  if (value !== "0" && value !== "1") throw invalid(name, `must be 0 or 1, not "${value.slice(0, 100)}"`);
  return value === "1";
}

function bindings(env: Environment, name: string): Config["bindings"] {
  const value = text(env, name) ?? "addon";
  if (value !== "addon" && value !== "public") {
    throw invalid(name, `must be addon or public, not "${value.slice(0, 100)}"`);
  }
  return value;
}

/** It becomes a header's value. */
function origin(env: Environment, name: string): string | undefined {
  const value = text(env, name);
  if (value === undefined || value === "*") return value;
  if (!URL.canParse(value) || new URL(value).origin !== value) {
    throw invalid(name, `must be * or an origin like https://example.org, not "${value.slice(0, 100)}"`);
  }
  return value;
}

function keyHash(value: string): Sha256 {
  try {
    return parseSha256(value.toLowerCase());
  } catch (error) {
    // The value is not repeated: it may be a key that was put here by mistake.
    throw new CodedError(
      "config_invalid",
      "PINFERENCE_API_KEY_SHA256 must hold sha256 hashes of 64 hexadecimal digits, separated by commas",
      { cause: error },
    );
  }
}

function invalid(name: string, fault: string): CodedError {
  return new CodedError("config_invalid", `${name} ${fault}`);
}
