/** Grammars and schemas made to keep llama.cpp busy: refused, or answered soon. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { CodedError } from "../../../src/domain/errors.ts";
import type { Engine } from "../../../src/domain/engine.ts";
import { startEngine } from "../../../src/engine/load.ts";
import { parseChatRequest } from "../../../src/openai/request.ts";
import { demoModelPath } from "../../support/demo-model.ts";

const node = { $ref: "#/$defs/n" };
const of = (n: object) => ({ $defs: { n }, $ref: "#/$defs/n" });
const object = (properties: object, required: readonly string[] = Object.keys(properties)) => ({
  type: "object",
  properties,
  required,
});
const levels = (count: number, level: (next: string, at: number) => string) =>
  Array.from({ length: count }, (_, at) => `r${at} ::= ${level(`r${at + 1}`, at)}`).join("\n");
const schemaLevels = (count: number, level: (next: object) => object) => ({
  $defs: Object.fromEntries([
    ...Array.from({ length: count }, (_, at) => [`d${at}`, level({ $ref: `#/$defs/d${at + 1}` })]),
    [`d${count}`, { type: "boolean" }],
  ]) as object,
  $ref: "#/$defs/d0",
});

const refusedGrammars = [
  'root ::= x\nx ::= "a" x "b" | "a" x "c" | "d"',
  'root ::= x\nx ::= "a" y "b" | "a" y "c" | "d"\ny ::= x',
  'root ::= x\nx ::= [a-c] x "b" | [a-d] x "c" | "d"',
  'root ::= x\nx ::= "a" (x "b" | x "c") | "d"',
  'root ::= x\nx ::= "a" x? "b" | "d"',
  'root ::= x\nx ::= ("a" x)* "b"',
  'root ::= x\nx ::= "a" x x | "d"',
  'root ::= "a" root "b" | "c"',
  'root ::= x\nx ::= "a" y | "d"\ny ::= "b" x',
  `root ::= r0\n${levels(40, (next) => `"a" ${next} "b" | "a" ${next} "c"`)}\nr40 ::= "d"`,
  `root ::= r0\n${levels(40, (next) => `[ab] ${next} "b" | [ac] ${next} "c"`)}\nr40 ::= "d"`,
  `root ::= r0\n${levels(6, (next) => `${next}{1,100}`)}\nr6 ::= "a"{1,100}`,
];
const refusedSchemas: object[] = [
  of({ anyOf: [object({ a: node, b: { const: 1 } }), object({ a: node, c: { const: 1 } }), { type: "null" }] }),
  of({ oneOf: [object({ a: node, b: { const: 1 } }), object({ a: node, c: { const: 1 } }), { type: "null" }] }),
  of({ anyOf: [{ type: "array", items: node }, { type: "array", prefixItems: [node, { const: 1 }] }, { const: 1 }] }),
  of({ anyOf: [object({ a: node }), { type: "object", additionalProperties: node }, { type: "null" }] }),
  of({ anyOf: [{ anyOf: [object({ a: node }), { const: 1 }] }, object({ a: node, b: { const: 2 } })] }),
  of({ anyOf: [{ type: "array", items: node }, { type: "array" }] }),
  of({ anyOf: [{}, object({ a: node })] }),
  of({ anyOf: [object({ a: node, x: { const: 1 } }, ["x"]), object({ a: node, y: { const: 1 } }, ["y"])] }),
  schemaLevels(40, (next) => ({ anyOf: [object({ a: next, b: next }), object({ a: next, c: next })] })),
  schemaLevels(15, (next) => ({ anyOf: [object({ a: next, b: next }), object({ a: next, c: next })] })),
];
const answeredGrammars = [
  'root ::= x\nx ::= "a" x | "a" "b" x | "d"',
  'root ::= x\nx ::= "a" x | ""',
  'root ::= "[" [0-9]+ ("," [0-9]+)* "]"',
  'root ::= line{1,20}\nline ::= [a-z]+ " " word "\\n"\nword ::= "cat" | "car" | "cab"',
  'root ::= "a"{0,2000} "a"{0,2000} "b"',
  `root ::= r0\n${levels(10, (next) => `"a" ${next} "b" | "a" ${next} "c"`)}\nr10 ::= "d"`,
];
/** Each rule uses the next: whatever is asked of all must not be asked of all again for each. */
answeredGrammars.push(
  ["root ::= r0", ...Array.from({ length: 8000 }, (_, at) => `r${at} ::= ${at < 7999 ? `r${at + 1}` : '"a"'}`)].join(
    "\n",
  ),
);

const answeredSchemas: object[] = [
  of(object({ v: { enum: [1, 2] }, next: { anyOf: [node, { type: "null" }] } })),
  of(object({ v: { type: "boolean" }, kids: { type: "array", items: node } })),
  of({ anyOf: [{ type: "array", items: node }, object({ a: node }), { type: "integer" }] }),
  of({ type: ["object", "array", "null"], properties: { a: node }, items: node }),
  of({
    anyOf: [
      ...["and", "or"].map((op) => object({ op: { const: op }, left: node, right: node })),
      object({ name: { type: "string", maxLength: 5 } }),
    ],
  }),
  of({ type: "object", properties: { a: node, b: node, ab: node } }),
  of({ type: "object", properties: { a: node, ab: node }, additionalProperties: node }),
  { type: "object" },
  schemaLevels(5, (next) => ({ anyOf: [object({ a: next, b: next }), object({ a: next, c: next })] })),
  {
    type: "object",
    properties: Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`p${at}`, { type: "null" }])) as object,
  },
];

const sampling = { temperature: 2, ignore_eos: false, max_tokens: 200, seed: 1 };
const ask = (members: object) => {
  const { messages, generate } = parseChatRequest({
    messages: [{ role: "user", content: "Go on." }],
    ...sampling,
    ...members,
  }).task;
  return { prompt: { kind: "chat", messages }, ...generate } as const;
};

describe("recursion, demo model", () => {
  let engine: Engine;
  before(async () => {
    const options = { modelPath: demoModelPath, modelId: "demo", aliases: [], contextLength: undefined };
    engine = startEngine({ ...options, slots: 1, queueLength: 1, threads: 1 });
    await engine.ready;
  });
  after(() => engine.close());

  async function isAnswered(members: object): Promise<boolean> {
    let reason: string | undefined;
    for await (const step of (await engine.generate(ask(members), new AbortController().signal)).steps) {
      if (step.type === "finish") reason = step.reason;
    }
    return reason !== undefined;
  }

  const table: [members: object, isFine: boolean][] = [
    ...refusedGrammars.map((grammar): [object, boolean] => [{ grammar }, false]),
    ...refusedSchemas.map((schema): [object, boolean] => [{ json_schema: schema }, false]),
    ...answeredGrammars.map((grammar): [object, boolean] => [{ grammar }, true]),
    ...answeredSchemas.map((schema): [object, boolean] => [{ json_schema: schema }, true]),
  ];
  for (const [members, isFine] of table) {
    test(`${isFine ? "answered" : "refused"}: ${JSON.stringify(members).slice(0, 200)}`, async () => {
      const startedAt = performance.now();
      if (isFine) assert.ok(await isAnswered(members));
      else {
        assert.throws(
          () => ask(members),
          (error) => error instanceof CodedError && /^invalid_(grammar|json_schema)$/.test(error.code),
        );
      }
      const tookMs = performance.now() - startedAt;
      assert.ok(tookMs < 2000, `${Math.round(tookMs)} ms`);
    });
  }

  test("the refusal says what to write instead", () => {
    assert.throws(() => ask({ grammar: refusedGrammars[0]! }), /'x' holds itself.*write \*, \+ or \{m,n\}/);
    assert.throws(() => ask({ json_schema: refusedSchemas[0]! }), /refers to itself.*another first property/);
  });
});
