/**
 * Speculation without a second model: what followed an earlier repetition of the answer's end, in prompt or answer, is
 * put into the batch behind the token that is known, and each of its tokens is kept only if the sampler draws it too. So
 * drafts change how long an answer takes and never its text (docs/decisions/0021-tokens-without-a-pass.md).
 */
import { Lookup } from "./lookup.ts";
import type { Token } from "./native.ts";
import { BLOCK, type StepCosts } from "./step-costs.ts";

/** Most tokens of a draft; with the tokens before it, it stays below a tile. */
export const LONGEST_DRAFT = 32;

/** By the length of the repetition: how often a draft's token is taken to be right before anything is known. */
const KINDS = [
  { below: 5, prior: 0.5 },
  { below: 9, prior: 0.7 },
  { below: Infinity, prior: 0.85 },
] as const;
/** Tokens that the prior counts for. */
const PRIOR_WEIGHT = 2;
/** What was seen counts this much less with each draft… */
const FADE = 0.9;
/** …and with each one that was not worth its cost, so that another is tried some time. */
const FADE_UNUSED = 0.99;

/** What one sequence proposes to evaluate beyond the tokens that are certain. */
export interface Proposal {
  readonly tokens: readonly Token[];
  /** How likely each token is right, if those before it are. */
  readonly chance: number;
}

/** Proposes drafts for one answer, and learns how good they are. */
export class Drafter {
  readonly #lookup: Lookup;
  readonly #records = KINDS.map(() => ({ right: 0, wrong: 0 }));
  #kind = 0;

  constructor(prompt: Iterable<Token>) {
    this.#lookup = new Lookup(prompt);
  }

  /** The answer has this token more. */
  push(token: Token): void {
    this.#lookup.push(token);
  }

  propose(most: number): Proposal | undefined {
    const found = this.#lookup.find(most);
    if (found === undefined) return undefined;
    this.#kind = KINDS.findIndex(({ below }) => found.length < below);
    const { right, wrong } = this.#records[this.#kind]!;
    const { prior } = KINDS[this.#kind]!;
    return { tokens: found.following, chance: (prior * PRIOR_WEIGHT + right) / (PRIOR_WEIGHT + right + wrong) };
  }

  /** What became of the last proposal: of `drafted` tokens, the first `accepted` were right. */
  learn(drafted: number, accepted: number): void {
    const record = this.#records[this.#kind]!;
    const fade = drafted === 0 ? FADE_UNUSED : FADE;
    record.right = record.right * fade + accepted;
    record.wrong = record.wrong * fade + (accepted < drafted ? 1 : 0);
  }
}

/** A sequence of the next batch. */
export interface Candidate {
  /** Tokens that are evaluated in any case, at least 1. */
  readonly certain: number;
  readonly proposal: Proposal | undefined;
}

/** Few tokens, then whole blocks of them: any other number costs as much as the next one here. */
const SIZES = [2, 3, ...Array.from({ length: Math.ceil(LONGEST_DRAFT / BLOCK) }, (_, index) => (index + 1) * BLOCK)];

/** The tokens of a sequence in a batch, drafts included, that give the most of them for its time; 0 where no draft pays. */
export function chooseSize(candidates: readonly Candidate[], costs: StepCosts): number {
  let best = 0;
  let bestRate = rateOf(candidates, 0, costs);
  if (candidates.every(({ proposal }) => proposal === undefined)) return 0;
  for (const size of SIZES) {
    const rate = rateOf(candidates, size, costs);
    if (rate > bestRate) [best, bestRate] = [size, rate];
  }
  return best;
}

/** How much of a draft a sequence takes in a batch of such a size. */
export function draftedOf({ certain, proposal }: Candidate, size: number): number {
  return Math.min(Math.max(size - certain, 0), proposal?.tokens.length ?? 0);
}

/** Expected tokens for each millisecond. */
function rateOf(candidates: readonly Candidate[], size: number, costs: StepCosts): number {
  let gained = 0;
  const sizes = candidates.map((candidate) => {
    const { certain, proposal } = candidate;
    const drafted = draftedOf(candidate, size);
    let likely = 1;
    gained += certain;
    for (let index = 0; index < drafted; index++) gained += likely *= proposal!.chance;
    return certain + drafted;
  });
  return gained / costs.of(sizes);
}
