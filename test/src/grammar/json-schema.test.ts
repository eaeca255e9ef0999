import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { openNative, type Native } from "../../../src/engine/native.ts";
import { checkGrammar } from "../../../src/grammar/gbnf-check.ts";
import { schemaToGrammar } from "../../../src/grammar/json-schema.ts";

const lenient = { strict: false, param: "schema" };
const strict = { strict: true, param: "schema" };

/** The rules without those that every grammar has. */
function own(schema: unknown): string {
  return schemaToGrammar(schema, lenient).split("\nws ::= ")[0]!;
}

test("golden grammars", () => {
  assert.equal(own({ enum: ["a", 1, null] }), 'root ::= r0\nr0 ::= "\\x22a\\x22" | "1" | "null"');
  assert.equal(own({ type: "integer", minimum: 8, maximum: 12 }), 'root ::= r0\nr0 ::= ([8-9] | "1" ([0-2]))');
  assert.equal(own({ type: "string", minLength: 1, maxLength: 3 }), 'root ::= r0\nr0 ::= "\\"" char{1,3} "\\""');
  assert.equal(
    own({ type: "object", properties: { a: { type: "null" }, b: { type: "boolean" } }, required: ["a"] }),
    'root ::= r0\nr0 ::= "{" ("\\x22a\\x22" ": " null (", " "\\x22b\\x22" ": " boolean)? ) "}"',
  );
});

describe("texts that a schema's grammar takes", () => {
  let native: Native;
  before(async () => {
    native = await openNative();
  });
  after(() => native.close());

  const takes = (schema: unknown, text: string) => {
    const grammar = native.compileGrammar(schemaToGrammar(schema, lenient));
    return (grammar as unknown as { isTextCompatible(text: string): boolean }).isTextCompatible(text);
  };
  const range = (length: number, start = 0) => Array.from({ length }, (_, index) => start + index);

  test("integers between bounds are exactly those", () => {
    for (const [minimum, maximum] of [
      [0, 0],
      [0, 9],
      [7, 123],
      [-5, 5],
      [-120, -8],
      [99, 101],
      [-1, 0],
    ] as const) {
      const schema = { type: "integer", minimum, maximum };
      for (const value of range(400, -200)) {
        assert.equal(
          takes(schema, String(value)),
          value >= minimum && value <= maximum,
          `${minimum} ${maximum} ${value}`,
        );
      }
    }
    assert.equal(takes({ type: "integer", exclusiveMinimum: 3, exclusiveMaximum: 5 }, "4"), true);
    assert.equal(takes({ type: "integer", exclusiveMinimum: 3 }, "3"), false);
    assert.equal(takes({ type: "integer" }, "01"), false);
  });

  const table: readonly [schema: unknown, yes: readonly string[], no: readonly string[]][] = [
    [
      { type: "string", minLength: 2, maxLength: 2 },
      ['"ab"', '"\u{1f600}\u00e9"', '"\\n\\u00e9"'],
      ['"a"', '"abc"', '"\\ud83d\\ude00"', '"a\n"'],
    ],
    [{ type: "number", minimum: 0, maximum: 1 }, ["0", "0.5", "1"], ["1.1", "-0.5", "2"]],
    [{ type: "number", exclusiveMinimum: 0, exclusiveMaximum: 1 }, ["0.01"], ["0", "0.0", "1"]],
    [{ type: "number", maximum: 0 }, ["-0.5", "0", "-7.25"], ["0.5", "1"]],
    [{ type: "string", pattern: "^a+$" }, ['"aaa"'], ['"aab"', '""']],
    [{ type: "string", pattern: "b" }, ['"abc"', '"b"'], ['"ac"']],
    [{ type: "string", pattern: "^(?:x|y{2})[^0-9]$" }, ['"x-"', '"yya"'], ['"y-"', '"x1"']],
    [
      { type: "string", format: "date" },
      ['"2024-02-28"', '"1999-12-31"'],
      ['"2024-02-30"', '"2024-13-01"', '"2024-04-31"'],
    ],
    [{ type: "string", format: "time" }, ['"23:59:59Z"', '"00:00:00.5+01:00"'], ['"24:00:00Z"', '"23:59"']],
    [{ type: "string", format: "date-time" }, ['"2024-01-01T10:00:00Z"'], ['"2024-01-01 10:00:00"']],
    [{ type: "string", format: "uuid" }, ['"123e4567-e89b-12d3-a456-426614174000"'], ['"123e4567"']],
    [
      { type: "array", prefixItems: [{ const: 1 }, { const: 2 }], items: false },
      ["[]", "[1]", "[1, 2]"],
      ["[2]", "[1, 2, 3]", "[1,2]", "[1, 2 ]"],
    ],
    [
      { type: "array", items: { const: 1 }, minItems: 2, maxItems: 3 },
      ["[1, 1]", "[1, 1, 1]"],
      ["[1]", "[1, 1, 1, 1]", "[1,]", "[1,1]"],
    ],
    [{ type: "array", items: { const: 1 }, maxItems: 0 }, ["[]"], ["[1]"]],
    [
      { properties: { ab: { const: 1 }, ac: { const: 2 } }, additionalProperties: { const: 3 } },
      ["{}", '{"ab": 1}', '{"ac": 2, "x": 3}', '{"ab": 1, "ac": 2, "abc": 3, "a": 3, "": 3}'],
      ['{"ac": 2, "ab": 1}', '{"ab": 3}', '{"x": 3, "ac": 2, }', '{"ab":1}', '{ "ab": 1}'],
    ],
    [{ type: "object" }, ["{}", '{"a": [{}, 1]}', '{"a": [{},1 ]}'], ["1", "[]", '{"a":[{}, 1]}']],
    [
      {
        allOf: [
          { type: "number", minimum: 2 },
          { type: "integer", maximum: 3 },
        ],
      },
      ["2", "3"],
      ["1", "4", "2.5"],
    ],
    [
      { $defs: { a: { type: "array", items: { $ref: "#/$defs/a" } } }, $ref: "#/$defs/a" },
      ["[[], [[]]]"],
      ["[1]", "[[],[]]"],
    ],
    [{ enum: [{ a: 1 }, "x"] }, ['{"a":1}', '"x"'], ['{"a":2}']],
    [{ type: "object", properties: { a: false, b: { const: 1 } } }, ["{}", '{"b": 1}'], ['{"a": 1}', '{"b":1}']],
  ];
  for (const [schema, yes, no] of table) {
    test(JSON.stringify(schema), () => {
      for (const text of yes) assert.equal(takes(schema, text), true, text);
      for (const text of no) assert.equal(takes(schema, text), false, text);
    });
  }

  test("llama.cpp parses what the check lets through", () => {
    for (const text of [
      "root ::= [a-z]+ # c\n",
      'root ::= (\n "a" |\n b)? .\nb ::= [^"\\]\\x41-\\u00ff]{2,} ""\n',
      'root ::= a\r\na ::= "x"',
    ]) {
      checkGrammar(text);
      assert.ok(native.compileGrammar(text));
    }
  });
});

test("schemas that no grammar can be made of are refused", () => {
  const refs = {
    $defs: Object.fromEntries(Array.from({ length: 3000 }, (_, n) => [`d${n}`, { $ref: `#/$defs/d${n + 1}` }])),
    $ref: "#/$defs/d0",
  };
  const deep = Array.from({ length: 5000 }).reduce<object>((inner) => ({ items: inner }), {});
  const wide = { anyOf: Array.from({ length: 300 }, () => ({})) };
  const bomb = Array.from({ length: 12 }).reduce<object>((inner) => ({ type: "array", items: inner, minItems: 1000 }), {
    type: "null",
  });
  const product = {
    allOf: Array.from({ length: 9 }, (_, a) => ({ anyOf: Array.from({ length: 9 }, (__, b) => ({ const: a * b })) })),
  };
  const refused: unknown[] = [
    null,
    true,
    [],
    "x",
    5,
    { type: "text" },
    { type: [] },
    { type: 5 },
    { $ref: "#/$defs/none" },
    { $ref: "http://x/y" },
    { $ref: 5 },
    { $ref: "#" },
    { anyOf: [{ $ref: "#" }] },
    { allOf: [{ $ref: "#" }] },
    { enum: [] },
    { enum: 5 },
    { anyOf: {} },
    { type: "integer", minimum: 5, maximum: 4 },
    { type: "integer", minimum: "5" },
    { type: "string", minLength: 1e9 },
    { type: "string", minLength: -1 },
    { type: "array", items: false, minItems: 1 },
    { type: "object", properties: [] },
    { type: "object", properties: { a: 5 } },
    { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] },
    refs,
    deep,
    wide,
    bomb,
    product,
  ];
  for (const [index, schema] of refused.entries()) {
    const startedAt = performance.now();
    const expected = { code: "invalid_json_schema", param: "schema" };
    assert.throws(() => schemaToGrammar(schema, lenient), expected, `schema ${index}`);
    assert.ok(performance.now() - startedAt < 2000, `schema ${index}`);
  }
});

test("what cannot be enforced is refused if strict, else ignored", () => {
  const loose: object[] = [
    { not: {} },
    { type: "array", uniqueItems: true },
    { type: "number", multipleOf: 0.1 },
    { type: "object", patternProperties: {} },
    { type: "string", pattern: "(?=a)b" },
    { type: "string", pattern: "(a" },
    { type: "string", pattern: "\\bx" },
    { type: "string", format: "color" },
    { type: "string", maxLength: 100_000 },
    { oneOf: [{ type: "integer" }, { type: "number" }] },
  ];
  for (const schema of loose) {
    assert.throws(() => schemaToGrammar(schema, strict), { code: "invalid_json_schema" }, JSON.stringify(schema));
    assert.ok(schemaToGrammar(schema, lenient));
  }
  assert.ok(schemaToGrammar({ oneOf: [{ type: "integer" }, { type: "string" }] }, strict));
});

test("hostile grammars are refused quickly", () => {
  const chain = (count: number) => Array.from({ length: count }, (_, n) => `r${n} ::= r${n + 1} "a"`).join("\n");
  const refused = [
    "",
    "x",
    'x ::= "a"',
    "root ::= y",
    'root ::= "a',
    "root ::= [a",
    'root ::= ("a"',
    "root ::= []",
    'root ::= "\\q"',
    'root = "a"',
    'root ::= root "a"',
    'root ::= "" root',
    "root ::= x? root",
    'root ::= ("a"?)*',
    'root ::= "a" root',
    'root ::= "a"\nroot ::= "b"',
    'root ::= "a"{5000}',
    'root ::= "a"{2,1}',
    'root ::= "a"{99999999999}',
    'root ::= (("a"{100}){100}){100}',
    'root ::= ("a"?){1000}',
    `root ::= ${"(".repeat(100_000)}`,
    `root ::= ${'"a" '.repeat(200_000)}`,
    `root ::= r0\n${chain(6000)}`,
    'root ::= "\0"',
    'root ::= "a" | <[5]>',
  ];
  for (const text of refused) {
    const startedAt = performance.now();
    assert.throws(() => checkGrammar(text), { code: "invalid_grammar", param: "grammar" }, text.slice(0, 60));
    assert.ok(performance.now() - startedAt < 2000, text.slice(0, 60));
  }
});
