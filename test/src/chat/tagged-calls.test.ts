/** Formats whose arguments stand one by one between words: the grammar holds the schema, the parser makes JSON of them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { answerGrammar } from "../../../src/chat/answer-grammar.ts";
import { AnswerParser } from "../../../src/chat/answer-parser.ts";
import type { CallSyntax } from "../../../src/chat/call-syntax.ts";
import { syntaxOf } from "../../../src/chat/formats/formats.ts";
import { canBeTagged } from "../../../src/chat/tagged-arguments.ts";
import { callableTools } from "../../../src/chat/tools.ts";
import type { ToolDefinition } from "../../../src/domain/generation.ts";
import { openNative, type Native } from "../../../src/engine/native.ts";
import { assertSortedBy, joined } from "./sorted.ts";
import { TEMPLATES } from "./templates.ts";

const QWEN = syntaxOf(TEMPLATES["qwen 3 coder"])!;
const GLM = syntaxOf(TEMPLATES["glm 4.5"])!;
const SEED = syntaxOf(TEMPLATES["seed-oss"])!;
const SYNTAXES = { qwen: QWEN, glm: GLM, seed: SEED };

const tool = (properties: Record<string, unknown>, required: string[] = [], rest: object = {}): ToolDefinition => ({
  name: "f",
  parameters: { type: "object", properties, required, ...rest },
});

type Arguments = readonly (readonly [name: string, value: string])[];

/** Calls of `f` as each model writes them. */
const WRITE = {
  qwen: (calls: readonly Arguments[]) =>
    calls
      .map((values) => {
        const written = values.map(([name, value]) => `<parameter=${name}>\n${value}\n</parameter>\n`);
        return `<tool_call>\n<function=f>\n${written.join("")}</function>\n</tool_call>`;
      })
      .join("\n"),
  seed: (calls: readonly Arguments[]) =>
    calls
      .map((values) => {
        const written = values.map(([name, value]) => `<parameter=${name}>${value}</parameter>\n`);
        return `<seed:tool_call>\n<function=f>\n${written.join("")}</function>\n</seed:tool_call>`;
      })
      .join("\n"),
  glm: (calls: readonly Arguments[]) =>
    calls
      .map((values) => {
        const written = values.map(([name, value]) => `<arg_key>${name}</arg_key>\n<arg_value>${value}</arg_value>\n`);
        return `<tool_call>f\n${written.join("")}</tool_call>`;
      })
      .join("\n"),
};
const NAMES = Object.keys(SYNTAXES) as (keyof typeof SYNTAXES)[];

function parserOf(syntax: CallSyntax, tools: readonly ToolDefinition[]) {
  const callable = callableTools(tools, { mode: "required" }, syntax);
  const forms = new Map(callable.map(({ name, arguments: { forms: own } }) => [name, own]));
  return (pieces: readonly string[]) => {
    const parser = new AnswerParser({ thinking: "none", syntax, tools: forms, newId: () => "call_1" });
    return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
  };
}

describe("a parser of tagged arguments", () => {
  const properties = {
    text: { type: "string" },
    code: { type: "string" },
    count: { type: "integer" },
    nested: { type: "object" },
    note: { anyOf: [{ type: "string" }, { type: "null" }] },
    either: { type: ["string", "number"] },
  };
  const cases: readonly [values: Arguments, json: string][] = [
    [[], "{}"],
    [[["text", "Paris"]], '{"text": "Paris"}'],
    [[["text", ""]], '{"text": ""}'],
    [[["code", 'a < b && "c"\n\tif (x) </param> \\n {}\n\n']], null!],
    [
      [
        ["text", "a"],
        ["count", "-12"],
        ["nested", '{"a": ["}", {"b": null}], "c": "</arg_value> \\" x"}'],
      ],
      '{"text": "a", "count": -12, "nested": {"a": ["}", {"b": null}], "c": "</arg_value> \\" x"}}',
    ],
    [
      [
        ["note", "null"],
        ["either", '"12"'],
      ],
      '{"note": null, "either": "12"}',
    ],
    [
      [
        ["note", "nullable"],
        ["either", "12"],
      ],
      '{"note": "nullable", "either": 12}',
    ],
    [[["note", "nul"]], '{"note": "nul"}'],
    [[["note", ""]], '{"note": ""}'],
  ];
  for (const name of NAMES) {
    test(`${name}: values become JSON, whatever the pieces in which they arrive`, () => {
      const parse = parserOf(SYNTAXES[name], [tool(properties)]);
      for (const [values, given] of cases) {
        const json = given ?? `{"code": ${JSON.stringify(values[0]![1])}}`;
        assertSortedBy(parse, WRITE[name]([values]), ["call f", `arguments: ${json}`]);
        JSON.parse(json);
      }
      const [, , , , [values, json]] = cases as never as [never, never, never, never, (typeof cases)[number]];
      assertSortedBy(parse, `Sure.\n${WRITE[name]([values, [], values])}`, [
        "text: Sure.",
        "call f",
        `arguments: ${json}`,
        "call f",
        "arguments: {}",
        "call f",
        `arguments: ${json}`,
      ]);
    });

    test(`${name}: a call that is cut leaves nothing of its form in text or arguments`, () => {
      const parse = parserOf(SYNTAXES[name], [tool(properties)]);
      const whole = WRITE[name]([[["text", "Paris"]]]);
      for (let end = 1; end < whole.length; end++) {
        const [call, json, ...rest] = joined(parse([whole.slice(0, end)]));
        if (end < SYNTAXES[name].controlTokens[0]!.length) continue;
        assert.deepEqual(rest, []);
        assert.ok(call === undefined || call === "call f", call);
        assert.ok(json === undefined || 'arguments: {"text": "Paris"}'.startsWith(json), json);
      }
    });
  }

  test("glm without line breaks is read too", () => {
    const text =
      "<tool_call>f<arg_key>text</arg_key><arg_value>x</arg_value><arg_key>count</arg_key><arg_value>3</arg_value></tool_call>";
    assertSortedBy(parserOf(GLM, [tool(properties)]), text, ["call f", 'arguments: {"text": "x", "count": 3}']);
  });
});

describe("a grammar of tagged arguments", () => {
  let native: Native;
  before(async () => {
    native = await openNative();
  });
  after(() => native.close());

  function takes(syntax: CallSyntax, definition: ToolDefinition, text: string): boolean {
    const tools = callableTools([definition], { mode: "required" }, syntax);
    const calls = { syntax, tools, isForced: true, isSingle: false };
    const grammar = native.compileGrammar(answerGrammar({ thinking: "none", calls, text: undefined })!);
    return (grammar as unknown as { isTextCompatible(text: string): boolean }).isTextCompatible(text);
  }

  /** Values that a schema takes and refuses, and the JSON that a taken one becomes where it is no string. */
  const table: readonly [name: string, schema: object, yes: readonly string[], no: readonly string[], json?: string][] =
    [
      ["a string is bare text", { type: "string" }, ["", "a\nb", '"q"', "a < b </p>", "12", "é😀"], []],
      [
        "an enumeration has bare values",
        { enum: ["one", "two words", "a<b"] },
        ["one", "two words", "a<b"],
        ["", "o", "ones", '"one"', "null"],
      ],
      ["a constant is bare", { type: "string", const: "x y" }, ["x y"], ["x", "x yz"]],
      [
        "a length is held",
        { type: "string", minLength: 2, maxLength: 4 },
        ["ab", "a\nb", "😀😀😀😀"],
        ["a", "abcde", "😀"],
      ],
      [
        "a pattern is held",
        { type: "string", pattern: "^[a-z]+-[0-9]{2}$" },
        ["ab-12"],
        ["ab-1", "AB-12", "", '"ab-12"'],
      ],
      ["a format is held", { type: "string", format: "date" }, ["2024-02-28"], ["2024-02-30", "now"]],
      ["a pattern that needs < is quoted", { type: "string", pattern: "^<[a-z]+>$" }, ['"<a>"'], ["<a>", '"a"']],
      ["a reference is followed", { $ref: "#/$defs/Color" }, ["red"], ["blue", '"red"']],
      ["null or bare text", { type: ["string", "null"] }, ["null", "x", ""], []],
      [
        "null or one of these",
        { anyOf: [{ $ref: "#/$defs/Color" }, { type: "null" }] },
        ["null", "red"],
        ["nul", "blue"],
      ],
      ["a string beside a number is quoted", { type: ["string", "integer"] }, ['"a"', "12"], ["a", "1.5"]],
      ["the string null beside null is quoted", { enum: ["null", null] }, ['"null"', "null"], ["x"]],
      ["numbers", { type: "integer", minimum: 3, maximum: 12 }, ["3", "12"], ["2", "13", '"3"', "3.0"]],
      ["booleans", { type: "boolean" }, ["true", "false"], ["True", "yes"]],
      [
        "objects and lists are JSON",
        { type: "array", items: { type: "object", properties: { a: { type: "string" } }, required: ["a"] } },
        ["[]", '[{"a": "</parameter>"}]'],
        ["", "{}", "[{}]", '[{"a": x}]'],
      ],
    ];
  const $defs = { Color: { type: "string", enum: ["red", "green"] } };

  for (const name of NAMES) {
    test(`${name}: values that fit their schema, and no others`, () => {
      const syntax = SYNTAXES[name];
      for (const [what, schema, yes, no] of table) {
        const definition = tool({ a: schema }, ["a"], { $defs });
        const parse = parserOf(syntax, [definition]);
        for (const value of yes) {
          const text = WRITE[name]([[["a", value]]]);
          assert.equal(takes(syntax, definition, text), true, `${what}: ${text}`);
          const [call, json] = joined(parse([text]));
          assert.equal(call, "call f");
          const { a } = JSON.parse(json!.slice("arguments: ".length)) as { a: unknown };
          assert.ok(
            typeof a === "string"
              ? a === value || JSON.stringify(a) === value
              : JSON.stringify(a) === value.replaceAll(": ", ":"),
            `${what}: ${json}`,
          );
        }
        for (const value of no) {
          const text = WRITE[name]([[["a", value]]]);
          assert.equal(takes(syntax, definition, text), false, `${what}: ${text}`);
        }
      }
    });

    test(`${name}: required arguments stand, optional ones may, all in the schema's order`, () => {
      const definition = tool({ a: { type: "string" }, b: { type: "integer" }, c: { type: "boolean" } }, ["b"]);
      const values = { a: "x", b: "1", c: "true" };
      const write = (keys: string) => WRITE[name]([Array.from(keys, (key) => [key, values[key as "a"]] as const)]);
      for (const keys of ["b", "ab", "bc", "abc"])
        assert.equal(takes(SYNTAXES[name], definition, write(keys)), true, keys);
      for (const keys of ["", "a", "ac", "ba", "cb", "bb"]) {
        assert.equal(takes(SYNTAXES[name], definition, write(keys)), false, keys);
      }
      assert.equal(takes(SYNTAXES[name], definition, WRITE[name]([[["d", "1"]]])), false);
    });

    test(`${name}: arguments without a schema have any name, those of none are none`, () => {
      const free = tool({});
      const none: ToolDefinition = { name: "f" };
      const some = WRITE[name]([
        [
          ["x", '{"y": 1}'],
          ["z", '"s"'],
        ],
      ]);
      const empty = WRITE[name]([[]]);
      assert.deepEqual(
        [some, empty].map((text) => takes(SYNTAXES[name], free, text)),
        [true, true],
      );
      assert.deepEqual(
        [some, empty].map((text) => takes(SYNTAXES[name], none, text)),
        [false, true],
      );
      assert.deepEqual(joined(parserOf(SYNTAXES[name], [free])([some])), [
        "call f",
        'arguments: {"x": {"y": 1}, "z": "s"}',
      ]);
      const words = tool({}, [], { additionalProperties: { type: "string" } });
      assert.equal(takes(SYNTAXES[name], words, WRITE[name]([[["x", "bare"]]])), true);
    });

    test(`${name}: calls follow each other, and nothing follows the last`, () => {
      const definition = tool({ a: { type: "string" } });
      const two = WRITE[name]([[["a", "x"]], []]);
      assert.equal(takes(SYNTAXES[name], definition, two), true);
      assert.equal(takes(SYNTAXES[name], definition, `${two} and more`), false);
      assert.equal(takes(SYNTAXES[name], definition, `Sure. ${two}`), false);
    });
  }
});

test("strict tools whose strings cannot be held are refused by name", () => {
  for (const schema of [
    { type: "string", format: "uri" },
    { type: "string", pattern: "(?=a)b" },
    { type: "string", not: {} },
  ]) {
    const definition = { ...tool({ a: schema }), strict: true };
    assert.throws(() => callableTools([definition], { mode: "auto" }, QWEN), {
      code: "invalid_json_schema",
      param: "tools[0].function.parameters",
    });
    assert.equal(callableTools([{ ...definition, strict: false }], { mode: "auto" }, QWEN).length, 1);
  }
});

test("tools whose arguments have no plain names do without a model's own form", () => {
  assert.equal(canBeTagged(tool({ city: {}, "x.y-z": {} })), true);
  assert.equal(canBeTagged({}), true);
  assert.equal(canBeTagged(tool({ "a>b": {} })), false);
  assert.equal(canBeTagged(tool({}, ["a b"])), false);
  assert.equal(canBeTagged({ parameters: { anyOf: [{ type: "object" }] } }), false);
});
