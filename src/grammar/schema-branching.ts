import { inOrder, usersOfEach, rulesIn, rulesInCycles, MAX_WAYS } from "./branching.ts";
import type { Rules } from "./gbnf-check.ts";
import type { Schema } from "./schema-merge.ts";

/** How a value begins: a list, or an object by its first key and, where it is one of a few, that key's value. */
export type Beginning = string;

export const LIST: Beginning = "[";
export const OBJECT: Beginning = "{";

/** Of an object's first member. Only simple constants tell objects with the same first key apart. */
export function beginningsOfMember(name: string, schema: unknown, required: boolean): Beginning[] {
  const key = `{${JSON.stringify(name)}:`;
  const { const: constant, enum: values = constant === undefined ? undefined : [constant] } = Object(schema) as Schema;
  if (!required || !Array.isArray(values)) return [key];
  const isSimple = values.every((value) => typeof value !== "object" || value === null);
  return isSimple ? values.map((value) => `${key}${JSON.stringify(value)};`) : [key];
}

/** Whether a text may begin in both ways: one says less than the other, or the same. */
function canBeginAlike(a: readonly Beginning[], b: readonly Beginning[]): boolean {
  return a.some((left) => b.some((right) => left.startsWith(right) || right.startsWith(left)));
}

export interface Branches {
  /** Alternatives of rules, by the rule's name; each is a rule's name or has none in it. */
  readonly unions: ReadonlyMap<string, readonly string[]>;
  /** How values of rules begin; none for what is neither object nor list. */
  readonly beginnings: ReadonlyMap<string, readonly Beginning[]>;
}

/** Why llama.cpp could keep too many ways open at once; undefined when it cannot. See branching.ts. */
export function branchingFault(rules: Rules, { unions, beginnings }: Branches): string | undefined {
  const uses = new Map([...rules].map(([name, node]) => [name, [...new Set(rulesIn(node))]]));
  const cyclic = rulesInCycles(uses);
  const reaching = usersOf(uses, cyclic);
  const begin = memoized((name: string, again): readonly Beginning[] => {
    const own = beginnings.get(name);
    if (own !== undefined) return own;
    const node = rules.get(name);
    const parts = unions.get(name) ?? (node?.kind === "rule" ? [node.name] : []);
    return [...new Set(parts.flatMap(again))];
  }, []);
  for (const [name, branches] of unions) {
    if (!cyclic.has(name)) continue;
    const recursive = branches.filter((branch) => reaching.has(branch));
    const alike = recursive.some((a, at) => recursive.slice(at + 1).some((b) => canBeginAlike(begin(a), begin(b))));
    if (alike) {
      return (
        "it refers to itself in two alternatives of an anyOf, oneOf or type that begin alike; give each object another " +
        "first property, or the same required one with different constants, and keep one kind of array"
      );
    }
  }
  const ways = new Map<string, number>();
  // What is not known yet stands in a cycle, whose alternatives are told apart.
  const waysOf = (name: string) => ways.get(name) ?? 1;
  for (const name of inOrder(rules)) {
    const branches = unions.get(name);
    const counts = branches?.map((branch) => (begin(branch).length === 0 ? 0 : waysOf(branch)));
    const sums = branches?.map((a) =>
      branches.reduce((sum, b, at) => sum + (canBeginAlike(begin(a), begin(b)) ? counts![at]! : 0), 0),
    );
    ways.set(name, Math.max(1, ...(sums ?? uses.get(name)!.map(waysOf))));
  }
  return waysOf("root") > MAX_WAYS ? "too many of its alternatives begin alike, in each other" : undefined;
}

/** Within a cycle, `meanwhile` stands for what is being computed. */
function memoized<T>(compute: (name: string, again: (name: string) => T) => T, meanwhile: T): (name: string) => T {
  const known = new Map<string, T>();
  const get = (name: string): T => {
    if (!known.has(name)) {
      known.set(name, meanwhile);
      known.set(name, compute(name, get));
    }
    return known.get(name)!;
  };
  return get;
}

/** These rules and all from which a way leads to them. */
function usersOf(uses: ReadonlyMap<string, readonly string[]>, targets: ReadonlySet<string>): ReadonlySet<string> {
  const users = usersOfEach(uses);
  const found = new Set(targets);
  const open = [...targets];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    for (const user of users.get(name) ?? []) {
      if (found.has(user)) continue;
      found.add(user);
      open.push(user);
    }
  }
  return found;
}
