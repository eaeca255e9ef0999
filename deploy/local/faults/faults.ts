/**
 * What a node does wrong on purpose, so that its users' errors can be seen. Whoever starts the node holds this object;
 * no request can reach it.
 */
import { type Fault, type FaultArgument, type FaultName, parseFault } from "./fault-table.ts";

export class Faults {
  readonly #armed: { readonly fault: Fault; left: number }[] = [];

  /** In the form that `parseFault` reads. Errors: `usage`. */
  constructor(texts: readonly string[] = []) {
    this.arm(...texts);
  }

  /** These act too from now on. Errors: `usage`. */
  arm(...texts: readonly string[]): void {
    this.#armed.push(...texts.map(parseFault).map((fault) => ({ fault, left: fault.times })));
  }

  /** From now on the node does nothing wrong. */
  clear(): void {
    this.#armed.length = 0;
  }

  /** The fault's argument where it is to act now, which uses up one of its times; else undefined. */
  take<Name extends FaultName>(name: Name): FaultArgument<Name> | undefined {
    const found = this.#armed.find(({ fault, left }) => fault.name === name && left > 0);
    if (found === undefined) return undefined;
    found.left -= 1;
    // The table says what each name was read with.
    return found.fault.argument as FaultArgument<Name>;
  }
}
