import type { IdlePrefix, IdlePrefixes, Pace } from "./idle-prefixes.ts";
import type { NativeContext, Token } from "./native.ts";
import {
  chooseSeat,
  chooseTarget,
  covers,
  cutSlot,
  type Evaluated,
  type Seat,
  type SeatOptions,
  type Slot,
} from "./slots.ts";

export interface SeatingOptions<Job> {
  readonly context: NativeContext;
  readonly slots: readonly Slot<Job>[];
  /** Undefined where no memory is left for states without a slot. */
  readonly idle: IdlePrefixes | undefined;
  readonly isExact: boolean;
}

/** A seat whose state may come from outside of the context. */
export interface PreparedSeat<Job> extends Seat<Job> {
  readonly restored: IdlePrefix | undefined;
}

/** Chooses a slot for a prompt, and brings into its sequence what is held of the prompt anywhere. */
export class Seating<Job> {
  readonly #options: SeatingOptions<Job>;
  /** Until a model shows otherwise: a recurrent state has no beginning that could be used alone. */
  #mayCut = true;

  constructor(options: SeatingOptions<Job>) {
    this.#options = options;
  }

  /** Whether sequences can be cut, as far as is known. */
  get mayCut(): boolean {
    return this.#mayCut;
  }

  choose(prompt: readonly Token[], wishes: Omit<SeatOptions, "isExact">, pace: Pace): PreparedSeat<Job> | undefined {
    const { slots, idle, isExact } = this.#options;
    const seat = chooseSeat(slots, prompt, { ...wishes, isExact });
    if (seat === undefined) return undefined;
    const { reuse, wantedSlot } = wishes;
    // A recurrent state serves whole or not at all.
    const held = this.#mayCut || seat.shared === (seat.source ?? seat.slot).tokens.length ? seat.shared : 0;
    const found = idle?.find(prompt, held, { reuse, isExact, mayCut: this.#mayCut }, pace);
    const slot = chooseTarget(slots, wantedSlot);
    if (found === undefined || slot === undefined) return { ...seat, restored: undefined };
    return { slot, source: undefined, shared: found.shared, restored: found.prefix };
  }

  /** Afterwards the slot's sequence holds exactly the prompt's first tokens that are returned; what it held before is kept. */
  async prepare({ slot, source, shared, restored }: PreparedSeat<Job>, pace: Pace): Promise<number> {
    const { context, idle } = this.#options;
    const isReplaced = source !== undefined || restored !== undefined;
    if (isReplaced || shared * 2 < slot.tokens.length) await this.#keep(slot, restored, pace);
    if (source !== undefined) {
      await context.copySequenceStateFromOtherSequence(slot.id, source.id);
      hold(slot, source);
    }
    if (restored !== undefined) hold(slot, (await idle?.restore(restored, slot.id)) === true ? restored : NOTHING);
    const wanted = Math.min(shared, slot.tokens.length);
    if (wanted < slot.tokens.length && !context.removeTokenCellsFromSequence(slot.id, wanted, -1)) {
      // A recurrent state cannot be cut: start anew.
      this.#mayCut = false;
      context.disposeSequence(slot.id);
      hold(slot, NOTHING);
    }
    cutSlot(slot, Math.min(wanted, slot.tokens.length));
    if (restored !== undefined && this.#mayCut && slot.tokens.length === restored.tokens.length) {
      idle?.forget((entry) => entry === restored);
    }
    return slot.tokens.length;
  }

  /** Empties a sequence; of its conversation nothing is kept either. */
  forget(slot: number): void {
    const { context, slots, idle } = this.#options;
    const held = slots[slot]!;
    if (held.tokens.length > 0) idle?.forget((entry) => covers(entry, held) || covers(held, entry));
    context.disposeSequence(slot);
  }

  /** Unless another slot could give it back. */
  async #keep(slot: Slot<Job>, needed: IdlePrefix | undefined, pace: Pace): Promise<void> {
    const { slots, idle } = this.#options;
    if (this.#mayCut && slots.some((other) => other !== slot && covers(other, slot))) return;
    await idle?.keep(slot, slot.id, { mayCut: this.#mayCut, needed, pace });
  }
}

const NOTHING: Evaluated = { tokens: [], tiled: 0, untiled: 0 };

function hold<Job>(slot: Slot<Job>, { tokens, tiled, untiled }: Evaluated): void {
  Object.assign(slot, { tokens: tokens.slice(), tiled, untiled });
}
