/**
 * Lines about answers that repeat their prompt. A model with random weights repeats nothing, so these are asked of one that
 * says token after token in the order of their numbers, whatever the prompt: what the prompt holds of that order is
 * what the answer repeats.
 */
import { decode, greedy, type Line } from "./lines.ts";

const FIRST = 400;
const ANSWER = 192;

/** The answer, without some of its tokens: of each `period`, the first `kept` stand in the prompt. */
function promptWith(kept: number, period: number): number[] {
  const answer = Array.from({ length: ANSWER + 1 }, (_, index) => FIRST + index);
  // Its last token is the one before the answer's first.
  return [...answer.filter((_, index) => index % period < kept), FIRST];
}

export const REPEATING_LINES: readonly Line[] = [
  { name: "decode, an edit: 47 of 48 tokens stand in the prompt", kept: 47, period: 48 },
  { name: "decode, a summary with quotes: 2 of 3 tokens stand in the prompt", kept: 40, period: 60 },
].map(({ name, kept, period }) => ({
  name,
  goal: "≥ 1.8",
  unit: "tokens/s",
  measure: (server) => decode(server, ANSWER, { ...greedy, prompt: promptWith(kept, period) }),
}));
