import { grammarFault, MAX_REPETITIONS, parseGbnf, type Node } from "./gbnf-syntax.ts";

/** llama.cpp writes repetitions out, so this bounds what it holds beyond the grammar's own text. */
const MAX_WRITTEN_OUT = 50_000;
/** Enough for 128 tools of 30 parameters each. */
const MAX_RULES = 10_000;
/** Each turn of a repetition that can be empty is one more state at every character. */
const MAX_EMPTY_REPETITIONS = 16;

export type Rules = ReadonlyMap<string, Node>;

/**
 * Makes sure that llama.cpp can work with a grammar: in time, in memory, and without an end that never comes.
 * Errors: `invalid_grammar`.
 */
export function checkGrammar(text: string): Rules {
  const rules = parseGbnf(text);
  if (!rules.has("root")) throw grammarFault("it has no rule 'root'");
  if (rules.size > MAX_RULES) throw grammarFault(`expected at most ${MAX_RULES} rules, got ${rules.size}`);
  let writtenOut = 0;
  for (const node of rules.values()) {
    refuseUndefined(node, rules);
    writtenOut += sizeOf(node) - plainSizeOf(node);
    if (writtenOut > MAX_WRITTEN_OUT) throw grammarFault("it is too large once its repetitions are written out");
  }
  const nullable = leastFixpoint(rules, canBeEmpty);
  for (const node of rules.values()) refuseEmptyRepetitions(node, nullable);
  refuseLeftRecursion(rules, nullable);
  if (!leastFixpoint(rules, canEnd).has("root")) throw grammarFault("no finite text fits the rule 'root'");
  return rules;
}

export function childrenOf(node: Node): readonly Node[] {
  if (node.kind === "sequence") return node.parts;
  if (node.kind === "choice") return node.branches;
  return node.kind === "repeat" ? [node.part] : [];
}

function refuseUndefined(node: Node, rules: Rules): void {
  if (node.kind === "rule" && !rules.has(node.name)) {
    throw grammarFault(`the rule '${node.name.slice(0, 100)}' is not defined`);
  }
  for (const child of childrenOf(node)) refuseUndefined(child, rules);
}

function sizeOf(node: Node): number {
  if (node.kind === "characters") return Math.max(node.count, 1);
  const inner = childrenOf(node).reduce((sum, child) => sum + sizeOf(child), 1);
  if (node.kind !== "repeat") return inner;
  const times = node.most === Infinity ? node.least + 1 : node.most;
  // Nested repetitions multiply. llama.cpp refuses what goes far beyond its limit, by an error deep inside.
  const written = inner * Math.max(times, 1);
  if (times > 1 && nestedTimes(node) > MAX_REPETITIONS) throw grammarFault("nested repetitions multiply to too many");
  return written;
}

/** With each repetition counted once. */
function plainSizeOf(node: Node): number {
  if (node.kind === "characters") return Math.max(node.count, 1);
  return childrenOf(node).reduce((sum, child) => sum + plainSizeOf(child), 1);
}

function nestedTimes(node: Node): number {
  const inner = Math.max(1, ...childrenOf(node).map(nestedTimes));
  if (node.kind !== "repeat") return inner;
  return inner * Math.max(1, node.most === Infinity ? node.least : node.most);
}

function canBeEmpty(node: Node, known: ReadonlySet<string>): boolean {
  switch (node.kind) {
    case "characters":
      return node.count === 0;
    case "rule":
      return known.has(node.name);
    case "sequence":
      return node.parts.every((part) => canBeEmpty(part, known));
    case "choice":
      return node.branches.some((branch) => canBeEmpty(branch, known));
    default:
      return node.least === 0 || canBeEmpty(node.part, known);
  }
}

function canEnd(node: Node, known: ReadonlySet<string>): boolean {
  if (node.kind === "rule") return known.has(node.name);
  if (node.kind === "choice") return node.branches.some((branch) => canEnd(branch, known));
  if (node.kind === "repeat") return node.least === 0 || canEnd(node.part, known);
  return childrenOf(node).every((child) => canEnd(child, known));
}

/** The rules of which something holds because it holds of the rules they use. */
function leastFixpoint(rules: Rules, holds: (node: Node, known: ReadonlySet<string>) => boolean): ReadonlySet<string> {
  const users = new Map<string, Set<string>>();
  for (const [name, node] of rules) noteUses(node, name, users);
  const known = new Set<string>();
  // Only rules that use one found in the round before can be found now: a chain of rules takes as many rounds.
  let open = new Set(rules.keys());
  while (open.size > 0) {
    const found = [...open].filter((name) => !known.has(name) && holds(rules.get(name)!, known));
    for (const name of found) known.add(name);
    open = new Set(found.flatMap((name) => [...(users.get(name) ?? [])]));
  }
  return known;
}

function noteUses(node: Node, user: string, users: Map<string, Set<string>>): void {
  if (node.kind === "rule") {
    const known = users.get(node.name);
    if (known === undefined) users.set(node.name, new Set([user]));
    else known.add(user);
  }
  for (const child of childrenOf(node)) noteUses(child, user, users);
}

function refuseEmptyRepetitions(node: Node, nullable: ReadonlySet<string>): void {
  if (node.kind === "repeat" && canBeEmpty(node.part, nullable)) {
    if (node.most === Infinity) throw grammarFault("it repeats without end what can be empty");
    if (node.most > MAX_EMPTY_REPETITIONS) throw grammarFault("it repeats too often what can be empty");
  }
  for (const child of childrenOf(node)) refuseEmptyRepetitions(child, nullable);
}

/** A rule that begins with itself never reads a character. */
function refuseLeftRecursion(rules: Rules, nullable: ReadonlySet<string>): void {
  const begins = new Map([...rules].map(([name, node]) => [name, [...beginningsOf(node, nullable)]]));
  const done = new Set<string>();
  for (const start of rules.keys()) {
    // Depth first with a list instead of calls: a chain of rules may be long.
    const path = [{ name: start, next: 0 }];
    const onPath = new Set([start]);
    while (path.length > 0) {
      const here = path.at(-1)!;
      const follower = done.has(here.name) ? undefined : begins.get(here.name)![here.next++];
      if (follower === undefined) {
        done.add(here.name);
        onPath.delete(here.name);
        path.pop();
      } else if (onPath.has(follower)) {
        throw grammarFault(`the rule '${follower.slice(0, 100)}' begins with itself`);
      } else if (!done.has(follower)) {
        onPath.add(follower);
        path.push({ name: follower, next: 0 });
      }
    }
  }
}

function* beginningsOf(node: Node, nullable: ReadonlySet<string>): Iterable<string> {
  if (node.kind === "rule") yield node.name;
  for (const child of childrenOf(node)) {
    yield* beginningsOf(child, nullable);
    if (node.kind === "sequence" && !canBeEmpty(child, nullable)) return;
  }
}
