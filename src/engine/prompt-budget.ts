import { TILE } from "./slots.ts";

/** A prompt that is not evaluated to its end. */
export interface OpenPrompt {
  /** Tokens to evaluate. */
  readonly left: number;
  /** Earlier prompts have lower numbers. */
  readonly order: number;
  /** The rows of all its tokens are read, which costs memory for each of them. */
  readonly isCareful: boolean;
}

/**
 * How many tokens of which prompts a step evaluates, with a budget in tokens. What is shorter than a tile goes first; it
 * is evaluated beside the running streams at little cost. Of the others the oldest is sure of half, so that it comes to its end;
 * the rest goes to the shortest, so that a short request does not wait for a long one's prompt. Where the budget is too
 * small for two, they take turns.
 */
export function sharePromptBudget<Prompt extends OpenPrompt>(
  open: readonly Prompt[],
  budget: number,
  turn: number,
): (Prompt & { readonly length: number })[] {
  const given: (Prompt & { readonly length: number })[] = [];
  let rest = Math.max(budget, TILE);
  const give = (prompt: Prompt, most: number) => {
    const length = pieceLength(prompt.left, prompt.isCareful ? TILE : most);
    given.push({ ...prompt, length });
    rest -= length;
  };
  for (const prompt of open.filter(({ left }) => left < TILE)) if (prompt.left <= rest) give(prompt, prompt.left);
  const oldest = open.filter(({ left }) => left >= TILE).sort((a, b) => a.order - b.order);
  if (oldest.length > 1 && rest < 2 * TILE) {
    const shortest = oldest.toSorted((a, b) => a.left - b.left);
    if (rest >= TILE || given.length === 0) give((turn % 2 === 0 ? oldest : shortest)[0]!, rest);
    return given;
  }
  const [first, ...others] = oldest;
  if (first === undefined || (rest < TILE && given.length > 0)) return given;
  give(first, others.length > 0 ? Math.ceil(rest / 2) : rest);
  for (const prompt of others.sort((a, b) => a.left - b.left)) if (rest >= TILE) give(prompt, rest);
  return given;
}

/** Of a prompt with so many tokens left: no piece of a longer one is shorter than a tile, its last one neither. */
export function pieceLength(left: number, most: number): number {
  const wanted = Math.max(most, TILE);
  if (left <= wanted) return left;
  if (left - wanted >= TILE) return wanted;
  return left < 2 * TILE ? left : left - TILE;
}
