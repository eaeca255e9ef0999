import { literal } from "./characters.ts";

/** A word that ends free text, and the rule that reads what follows it. Without a rule, the word cannot be. */
export interface EndingWord {
  readonly word: string;
  readonly follow?: string;
}

export interface FreeTextOptions {
  /** Names of rules begin with it; `<name>-0` is the first. */
  readonly name: string;
  /** None holds another. */
  readonly words: readonly EndingWord[];
  /** A word that counts at the very beginning only, white space before it allowed. Not one of `words`. */
  readonly opening?: Required<EndingWord>;
  /** Whether the text may simply end. */
  readonly canEnd: boolean;
}

/**
 * Rules for text in which certain words do not stand, or only with something of a certain form behind them. They are
 * the states of an Aho-Corasick automaton: each alternative begins with another character, so that llama.cpp always
 * has one way to follow.
 */
export function freeTextRules({ name, words, opening, canEnd }: FreeTextOptions): string[] {
  const automaton = new Automaton(words.map(({ word }) => word));
  const ruleOf = (state: State) => `${name}-${state.index}`;
  const step = (state: State, character: string): string | undefined => {
    const next = automaton.next(state, character);
    if (next.word === undefined) return `${literal(character)} ${ruleOf(next)}`;
    const follow = words[next.word]!.follow;
    return follow === undefined ? undefined : `${literal(character)} ${follow}`;
  };
  const rule = (own: string, steps: ReadonlyMap<string, string | undefined>) => {
    const others = `${anyBut([...steps.keys()])} ${ruleOf(automaton.start)}`;
    const alternatives = [...steps.values(), others].filter((text) => text !== undefined).join(" | ");
    return `${own} ::= ${canEnd ? `(${alternatives})?` : alternatives}`;
  };
  /** What each character of the words leads to; all others lead to the beginning. */
  const stepsOf = (state: State) =>
    new Map(automaton.alphabet.map((character) => [character, step(state, character)] as const));

  const rules = automaton.states
    .filter(({ word }) => word === undefined)
    .map((state) => rule(ruleOf(state), stepsOf(state)));
  if (opening === undefined) return rules;
  // The opening word is followed beside the automaton, which would otherwise take it for text.
  const characters = Array.from(opening.word);
  let state = automaton.start;
  characters.forEach((character, index) => {
    const steps = new Map(stepsOf(state));
    const isLast = index === characters.length - 1;
    const isFirst = index === 0;
    if (isFirst) for (const space of [" ", "\n"]) steps.set(space, `${literal(space)} ${openingRule(name, 0)}`);
    steps.set(character, `${literal(character)} ${isLast ? opening.follow : openingRule(name, index + 1)}`);
    rules.push(rule(openingRule(name, index), steps));
    state = automaton.next(state, character);
  });
  return rules;
}

/** The rule that reads free text from its beginning. */
export function freeTextStart({ name, opening }: FreeTextOptions): string {
  return opening === undefined ? `${name}-0` : openingRule(name, 0);
}

function openingRule(name: string, index: number): string {
  return `${name}-o${index}`;
}

function anyBut(characters: readonly string[]): string {
  if (characters.length === 0) return `[\\x00-\\U0010ffff]`;
  return `[^${characters.map((character) => escaped(character)).join("")}]`;
}

/** By its code, which no class takes for anything else. */
function escaped(character: string): string {
  return `\\U${character.codePointAt(0)!.toString(16).padStart(8, "0")}`;
}

interface State {
  readonly index: number;
  readonly next: Map<string, State>;
  /** The state of the longest ending of what was read that begins a word. */
  fallback: State | undefined;
  /** Of the word that ends here. */
  word: number | undefined;
}

class Automaton {
  readonly states: State[] = [];
  readonly alphabet: readonly string[];
  readonly start: State;

  constructor(words: readonly string[]) {
    this.start = this.#add();
    this.alphabet = [...new Set(words.flatMap((word) => Array.from(word)))];
    words.forEach((word, index) => {
      let here = this.start;
      for (const character of word) {
        let next = here.next.get(character);
        if (next === undefined) here.next.set(character, (next = this.#add()));
        here = next;
      }
      here.word = index;
    });
    // Breadth first: fallbacks are nearer to the start.
    const queue = [...this.start.next.values()];
    for (const state of queue) state.fallback = this.start;
    for (const state of queue) {
      for (const [character, next] of state.next) {
        next.fallback = this.next(state.fallback!, character);
        next.word ??= next.fallback.word;
        queue.push(next);
      }
    }
  }

  next(state: State, character: string): State {
    for (let here: State | undefined = state; here !== undefined; here = here.fallback) {
      const next = here.next.get(character);
      if (next !== undefined) return next;
    }
    return this.start;
  }

  #add(): State {
    const state: State = { index: this.states.length, next: new Map(), fallback: undefined, word: undefined };
    this.states.push(state);
    return state;
  }
}
