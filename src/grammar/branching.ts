/**
 * llama.cpp keeps a stack for each way in which a text may still go on. Where a rule can stand in itself, alternatives
 * that begin alike double the stacks with every level; where rules stand in others, with every rule.
 */
import { checkGrammar, childrenOf, type Rules } from "./gbnf-check.ts";
import { grammarFault, type Node } from "./gbnf-syntax.ts";

/** Of ways that are open at once, at most. Each costs time at every token. */
export const MAX_WAYS = 2048;

/**
 * For a client's own grammar, of which nothing is known: a rule may repeat itself at the end of an alternative, which
 * leaves one stack, and not hold itself otherwise.
 * Errors: `invalid_grammar`.
 */
export function refuseBranching(text: string): void {
  const rules = checkGrammar(text);
  const cyclic = rulesInCycles(
    new Map(
      [...rules].map(([name, node]) => [name, [...new Set(rulesIn(node))].filter((used) => !isTail(node, used, name))]),
    ),
  );
  const [first] = cyclic;
  if (first !== undefined) {
    throw grammarFault(
      `the rule '${first.slice(0, 100)}' holds itself, which is allowed only at the end of an alternative of its own; ` +
        "for repetition write *, + or {m,n}, and for nested JSON give json_schema",
    );
  }
  if (waysOf(rules) > MAX_WAYS) {
    throw grammarFault(
      "too many of its alternatives begin alike and go on with other rules; put the common beginning before a group of them",
    );
  }
}

/** Whether `name`, where it uses itself, does so at ends only. */
function isTail(node: Node, used: string, name: string): boolean {
  return used === name && !standsBeforeEnd(node, name);
}

function standsBeforeEnd(node: Node, name: string): boolean {
  if (node.kind === "choice") return node.branches.some((branch) => standsBeforeEnd(branch, name));
  if (node.kind === "repeat") return holds(node, name);
  if (node.kind !== "sequence") return false;
  return node.parts.some((part, index) =>
    index === node.parts.length - 1 ? standsBeforeEnd(part, name) : holds(part, name),
  );
}

function holds(node: Node, name: string): boolean {
  for (const used of rulesIn(node)) if (used === name) return true;
  return false;
}

export function* rulesIn(node: Node): Iterable<string> {
  if (node.kind === "rule") yield node.name;
  for (const child of childrenOf(node)) yield* rulesIn(child);
}

/** The names from which a way leads back to them. */
export function rulesInCycles(uses: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const users = usersOfEach(uses);
  const open = new Map([...uses].map(([name, used]) => [name, used.length]));
  prune(users, open);
  // What only leads to a cycle is no part of one: prune from the other side too.
  const left = new Map([...open.keys()].map((name) => [name, uses.get(name)!.filter((used) => open.has(used))]));
  const counts = new Map(
    [...open.keys()].map((name) => [name, (users.get(name) ?? []).filter((by) => open.has(by)).length]),
  );
  prune(left, counts);
  return new Set(counts.keys());
}

/** Who uses each, from what each uses; nothing twice. */
export function usersOfEach(uses: ReadonlyMap<string, readonly string[]>): ReadonlyMap<string, readonly string[]> {
  const users = new Map<string, string[]>([...uses.keys()].map((name) => [name, []]));
  for (const [name, used] of uses) for (const other of used) users.get(other)!.push(name);
  return users;
}

/** Takes out of `open` whatever has no open link left. */
function prune(backwards: ReadonlyMap<string, readonly string[]>, open: Map<string, number>): void {
  const free = [...open].flatMap(([name, count]) => (count === 0 ? [name] : []));
  for (let name = free.pop(); name !== undefined; name = free.pop()) {
    open.delete(name);
    for (const next of backwards.get(name) ?? []) {
      const count = open.get(next);
      if (count === undefined) continue;
      open.set(next, count - 1);
      if (count === 1) free.push(next);
    }
  }
}

/** An upper bound of the ways open at once, for rules without cycles but for those into themselves at the end. */
function waysOf(rules: Rules): number {
  const known = new Map<string, number>();
  const ways = (node: Node): number => {
    if (node.kind === "rule") return known.get(node.name) ?? 1;
    if (node.kind === "choice") {
      const sums = new Map<string | undefined, number>([[undefined, 0]]);
      for (const branch of node.branches) {
        // What holds no rule is over soon.
        const count = [...rulesIn(branch)].length === 0 ? 0 : ways(branch);
        const key = beginningOf(branch, rules, 0);
        sums.set(key, (sums.get(key) ?? 0) + count);
      }
      const anywhere = sums.get(undefined)!;
      return Math.max(1, ...[...sums].map(([key, sum]) => (key === undefined ? sum : sum + anywhere)));
    }
    const most = childrenOf(node).reduce((high, child) => Math.max(high, ways(child)), 1);
    // Copies written out are places of their own, all open where nothing tells one's end.
    const copies = node.kind === "repeat" && node.most !== Infinity && !isFixed(node.part) ? Math.max(1, node.most) : 1;
    return most * copies;
  };
  for (const name of inOrder(rules)) known.set(name, ways(rules.get(name)!));
  return known.get("root") ?? 1;
}

/** Whether all its texts are certain to have one length. */
function isFixed(node: Node): boolean {
  if (node.kind === "repeat") return node.least === node.most && isFixed(node.part);
  return node.kind === "characters" || (node.kind === "sequence" && node.parts.every(isFixed));
}

/** The first character, where it is one and certain. */
function beginningOf(node: Node, rules: Rules, depth: number): string | undefined {
  if (depth > 20) return undefined;
  if (node.kind === "rule") return beginningOf(rules.get(node.name)!, rules, depth + 1);
  if (node.kind === "sequence") {
    return node.parts[0] === undefined ? undefined : beginningOf(node.parts[0], rules, depth + 1);
  }
  if (node.kind !== "characters" || node.count === 0) return undefined;
  const found = /^"(\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\U[0-9a-fA-F]{8}|\\[tnr"[\]\\]|[^"\\])/u.exec(node.text);
  if (found === null) return undefined;
  const [, first = ""] = found;
  if (!first.startsWith("\\")) return first;
  const named = ({ t: "\t", n: "\n", r: "\r" } as Record<string, string>)[first[1]!];
  if (named !== undefined) return named;
  if (!/^\\[xuU]/.test(first)) return first[1];
  const point = Number.parseInt(first.slice(2), 16);
  return point <= 0x10ffff ? String.fromCodePoint(point) : undefined;
}

/** Rules after those that they use. */
export function inOrder(rules: Rules): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  for (const start of rules.keys()) {
    const path = seen.has(start) ? [] : [{ name: start, used: [...new Set(rulesIn(rules.get(start)!))] }];
    seen.add(start);
    while (path.length > 0) {
      const here = path.at(-1)!;
      const next = here.used.pop();
      if (next === undefined) order.push(path.pop()!.name);
      else if (!seen.has(next)) {
        seen.add(next);
        path.push({ name: next, used: [...new Set(rulesIn(rules.get(next)!))] });
      }
    }
  }
  return order;
}
