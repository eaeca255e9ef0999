import { chooseSize, draftedOf, Drafter, LONGEST_DRAFT, type Proposal } from "./drafts.ts";
import type { NativeContext, Token } from "./native.ts";
import type { Part, Running } from "./running.ts";
import { cutSlot, TILE, type Slot } from "./slots.ts";
import { StepCosts } from "./step-costs.ts";

/** Decides which tokens are guessed ahead, and takes back what was guessed wrong. */
export class DraftPlanner {
  readonly #context: NativeContext;
  readonly #contextLength: number;
  /** Tokens of a sequence in a batch: fewer than a tile. */
  readonly #most: number;
  readonly #costs = new StepCosts();
  /** Whether sequences can be cut, as wrong guesses must be; undefined until it was tried. */
  #canCut: boolean | undefined;

  /** `ahead`: most tokens of a sequence in a batch beyond its next one. */
  constructor(context: NativeContext, contextLength: number, ahead: number) {
    this.#context = context;
    this.#contextLength = contextLength;
    this.#most = Math.min(TILE - 1, 1 + Math.floor(ahead));
  }

  /** A sequence could not be cut (recurrent models). */
  cannotCut(): void {
    this.#canCut = false;
  }

  /** An answer has this token more. */
  push(running: Running, token: Token): void {
    if (running.job.draft.most !== 0 && this.#canCut !== false) running.drafter ??= new Drafter(running.job.prompt);
    running.drafter?.push(token);
  }

  /** The tokens that are known of each generating sequence, and guesses where they are worth their time. */
  plan(slots: readonly Slot<Running>[]): Part[] {
    const generating = slots.flatMap((slot) => {
      const running = slot.job;
      if (running === undefined || running.pending.length === 0) return [];
      const proposal = this.#propose(slot, running);
      return [{ slot, running, proposal, certain: Math.min(running.pending.length, this.#most) }];
    });
    const size = chooseSize(generating, this.#costs);
    return generating.map((candidate) => {
      const { slot, running, certain, proposal } = candidate;
      const length = Math.max(draftedOf(candidate, size), running.job.draft.least ?? 0);
      const draft = proposal?.tokens.slice(0, length) ?? [];
      if (proposal !== undefined && draft.length === 0) running.drafter?.learn(0, 0);
      const tokens = Uint32Array.from([...running.pending.slice(0, certain), ...draft]);
      return { slot, running, tokens, isPrompt: false, drafted: draft.length };
    });
  }

  /** What was guessed wrong leaves the sequence: of `drafted` tokens at its end, all but the first `agreed`. */
  settle(slot: Slot<Running>, running: Running, drafted: number, agreed: number): void {
    if (drafted === 0) return;
    running.drafter?.learn(drafted, agreed);
    running.job.onDraft(drafted, agreed);
    if (agreed === drafted) return;
    cutSlot(slot, slot.tokens.length - (drafted - agreed));
    if (this.#context.removeTokenCellsFromSequence(slot.id, slot.tokens.length, -1)) return;
    throw new Error("a sequence that could be cut before cannot be cut now");
  }

  /** How long a batch took that held no prompts. */
  learn(parts: readonly Part[], milliseconds: number): void {
    const sizes = parts.map(({ tokens }) => tokens.length);
    this.#costs.learn(sizes, milliseconds);
  }

  #propose(slot: Slot<Running>, running: Running): Proposal | undefined {
    const { job, pending, produced, drafter } = running;
    if (drafter === undefined) return undefined;
    const left = Math.min(job.limit, this.#contextLength - job.prompt.length) - produced;
    // One more may come to the pending ones.
    const most = Math.min(job.draft.most ?? LONGEST_DRAFT, LONGEST_DRAFT, left - 1, this.#most - 1 - pending.length);
    const proposal = drafter.propose(most);
    return proposal !== undefined && this.#mayCut(slot, running) ? proposal : undefined;
  }

  /** Tried once: a token of the answer is taken back, to be evaluated again. */
  #mayCut(slot: Slot<Running>, { job, pending }: Running): boolean {
    const last = slot.tokens.length - 1;
    if (this.#canCut !== undefined || last < job.prompt.length) return this.#canCut ?? false;
    const token = slot.tokens[last]!;
    this.#canCut = this.#context.removeTokenCellsFromSequence(slot.id, last, -1);
    if (this.#canCut) {
      cutSlot(slot, last);
      pending.unshift(token);
    }
    return this.#canCut;
  }
}
