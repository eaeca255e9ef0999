import { CodedError } from "../../src/domain/errors.ts";

/** Steps to take at the end, in reverse order. */
export interface Cleanup {
  add(step: () => Promise<void>): void;
  /** Takes every step, even after one has failed. Never rejects: the reason why things end matters more. */
  run(): Promise<void>;
}

export function createCleanup(onFailure: (message: string) => void): Cleanup {
  const steps: (() => Promise<void>)[] = [];
  return {
    add: (step) => void steps.push(step),
    async run() {
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
        await step().catch((error: unknown) => onFailure(`while ending: ${wordsOf(error)}`));
      }
    },
  };
}

function wordsOf(error: unknown): string {
  return error instanceof CodedError ? error.message : String(error);
}
