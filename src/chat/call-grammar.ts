import { literal } from "../grammar/characters.ts";
import { rawTextRules } from "../grammar/raw-text.ts";
import { openingOf, triggerOf, type CallSyntax } from "./call-syntax.ts";
import { sequence, toGbnf } from "./syntax-gbnf.ts";
import type { CallableTool } from "./tools.ts";

/** The rule of all calls of an answer, and of all but the word that they begin with. */
export const CALLS = "calls";
export const CALLS_AFTER_TRIGGER = "calls-rest";

interface CallsForm {
  readonly syntax: CallSyntax;
  readonly tools: readonly CallableTool[];
  readonly isSingle: boolean;
}

/** Rules for one call or several of these tools. They refer to the rules of JSON. */
export function callRules({ syntax, tools, isSingle }: CallsForm): string[] {
  const names = new NameTree();
  const rules: string[] = syntax.arguments === undefined ? [] : rawTextRules(syntax.arguments.end);
  const [, beforeArguments, afterArguments] = syntax.call;
  tools.forEach(({ name, arguments: { root, rules: more } }, index) => {
    rules.push(`call-${index} ::= ${sequence(toGbnf(beforeArguments), root, toGbnf(afterArguments))}`, ...more);
    names.add(name, `call-${index}`);
  });
  rules.push(...names.rules());
  const opening = openingOf(syntax, true);
  const trigger = triggerOf(syntax);
  const further = isSingle || syntax.single === true ? "" : "call-more*";
  if (further !== "") rules.push(`call-more ::= ${sequence(toGbnf(openingOf(syntax, false)), NameTree.ROOT)}`);
  return [
    `${CALLS} ::= ${literal(trigger)} ${CALLS_AFTER_TRIGGER}`,
    `${CALLS_AFTER_TRIGGER} ::= ${sequence(
      toGbnf(opening.slice(trigger.length)),
      NameTree.ROOT,
      further,
      toGbnf(syntax.section[1]),
    )}`,
    ...rules,
  ];
}

/** Names as a tree, so that each character leaves one way open, however many names begin alike. */
class NameTree {
  static readonly ROOT = "name-0";
  readonly #root: NameNode = { next: new Map(), follow: undefined };
  readonly #rules: string[] = [];

  add(name: string, follow: string): void {
    let here = this.#root;
    for (const character of name) {
      let next = here.next.get(character);
      if (next === undefined) here.next.set(character, (next = { next: new Map(), follow: undefined }));
      here = next;
    }
    here.follow = follow;
  }

  rules(): string[] {
    this.#rules.length = 0;
    this.#rule(this.#root);
    return this.#rules;
  }

  #rule(node: NameNode): string {
    const name = `name-${this.#rules.length}`;
    this.#rules.push("");
    const branches = [...node.next].map(([character, next]) => this.#branch(character, next));
    if (node.follow !== undefined) branches.push(node.follow);
    this.#rules[Number(name.slice("name-".length))] = `${name} ::= ${branches.join(" | ")}`;
    return name;
  }

  /** Characters with one way on are written together. */
  #branch(first: string, start: NameNode): string {
    let text = first;
    let node = start;
    while (node.follow === undefined && node.next.size === 1) {
      const [[character, next]] = node.next as unknown as [[string, NameNode]];
      text += character;
      node = next;
    }
    return `${literal(text)} ${node.next.size === 0 ? node.follow : this.#rule(node)}`;
  }
}

interface NameNode {
  readonly next: Map<string, NameNode>;
  follow: string | undefined;
}
