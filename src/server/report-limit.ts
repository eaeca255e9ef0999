import type { ChatStep } from "../domain/chat.ts";
import { CodedError } from "../domain/errors.ts";
import type { GenerationStep } from "../domain/generation.ts";

/** Probabilities in a whole answer: about 80 bytes of JSON each, kept in memory until the last token. */
export const MOST_REPORTED = 1_000_000;

/**
 * The same steps, up to as many probabilities as a whole answer can hold; a stream keeps none, and needs no limit.
 * Errors: `invalid_value`, which ends the generation.
 */
export async function* limitReport<Step extends GenerationStep | ChatStep>(
  steps: AsyncIterable<Step>,
  most = MOST_REPORTED,
): AsyncGenerator<Step> {
  let reported = 0;
  for await (const step of steps) {
    reported += countOf(step);
    if (reported > most) {
      throw new CodedError(
        "invalid_value",
        `The answer's log probabilities are more than ${most}: ask for fewer tokens, choices or probabilities, or stream them.`,
      );
    }
    yield step;
  }
}

function countOf(step: GenerationStep | ChatStep): number {
  if (!("tokens" in step) || typeof step.tokens !== "object") return 0;
  let count = 0;
  for (const token of step.tokens) count += 1 + ("top" in token ? token.top.length : 0);
  return count;
}
