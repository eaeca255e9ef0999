import type { Engine } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";

export interface EngineOptions {
  readonly modelPath: string;
  readonly modelId: string;
  readonly aliases: readonly string[];
  /** Tokens of one sequence; undefined leaves it to the model and the memory. */
  readonly contextLength: number | undefined;
  readonly slots: number;
  readonly queueLength: number;
  readonly threads: number;
  readonly log?: (event: string, data: Record<string, unknown>) => void;
}

/** Returns at once; `ready` settles when the model is loaded. */
export function startEngine(_options: EngineOptions): Engine {
  throw new CodedError("not_supported", "This build has no inference engine.");
}
