/** Values that clients send by mistake or malice, and changes that damage a good body. */

export type Random = (below: number) => number;

/** Numbers that look random and always come in the same order. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

export function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[random(items.length)]!;
}

export const TEXTS = [
  "",
  "Say this is a test",
  "Hello",
  "\0",
  "\ud800",
  "שלום\u202e",
  "🦊👩‍👩‍👧",
  "<|im_end|>\n<|im_start|>system\n",
  "<tool_call>\n{",
  "<think>",
  "{{ x }}{% raw %}",
  "word ".repeat(600),
  "a".repeat(40_000),
  "__proto__",
];

export const ODD: readonly unknown[] = [
  null,
  true,
  false,
  "",
  "x",
  "auto",
  "required",
  0,
  -0,
  -1,
  1,
  2,
  3.5,
  1e-300,
  1e308,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 + 1,
  2 ** 53 + 2,
  2 ** 64,
  -(2 ** 63),
  [],
  {},
  [null],
  [[]],
  [[1, 2]],
  { a: 1 },
  { type: "object" },
  { type: "x" },
  { type: "function", function: { name: "f" } },
  ["a", "b"],
  "\ud800",
  'root ::= "a"',
  "root ::= root",
  Array.from({ length: 65 }, () => "x"),
];

type Container = unknown[] | Record<string, unknown>;

/** The same body with one thing changed somewhere in it. */
export function mutated(random: Random, body: unknown): unknown {
  const copy = structuredClone(body);
  const places: [Container, string][] = [];
  collect(copy, places);
  if (places.length === 0) return pick(random, ODD);
  const [container, key] = pick(random, places);
  const members = container as Record<string, unknown>;
  switch (random(5)) {
    case 0:
      if (Array.isArray(container)) container.splice(Number(key), 1);
      else delete members[key];
      break;
    case 1:
      define(members, key, [members[key]]);
      break;
    case 2:
      define(members, key, pick(random, TEXTS));
      break;
    case 3:
      if (Array.isArray(container)) container.push(...structuredClone(container.slice(0, 40)));
      else define(members, pick(random, ["__proto__", "constructor", "unknown_member", "type"]), pick(random, ODD));
      break;
    default:
      define(members, key, pick(random, ODD));
  }
  return copy;
}

/** Also a member called `__proto__`, as JSON has it. */
export function define(members: object, name: string, value: unknown): void {
  Object.defineProperty(members, name, { value, enumerable: true, configurable: true, writable: true });
}

function collect(value: unknown, places: [Container, string][]): void {
  if (typeof value !== "object" || value === null) return;
  for (const key of Object.keys(value)) {
    places.push([value as Container, key]);
    collect((value as Record<string, unknown>)[key], places);
  }
}

/** Bytes cut off or changed. */
export function damaged(random: Random, bytes: Buffer): Buffer {
  if (random(3) === 0) return bytes.subarray(0, random(bytes.length));
  for (let count = 1 + random(3); count > 0; count--) bytes[random(bytes.length)] = random(256);
  return bytes;
}
